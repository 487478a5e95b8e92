import type { Position } from "../../src/core/position.ts";
import {
  createRecorder,
  type History,
  type ItemInput,
  type Json,
  memorySink,
  type MutationInput,
  type OutcomeHandle,
  type SubscribeIntent,
  type SubscriptionHandle,
  type WriteHandle,
} from "../support/checker/index.ts";

/** An item in a story: id, value, and revision, which some doors do not report. */
export type StoryItem = readonly [item: string, value: Json, revision?: number];

/**
 * A short history written by hand: one group, by default one epoch, and a clock that advances by
 * one millisecond per record. Change `r` has timestamp `10 r`.
 */
export interface Story {
  readonly history: History;
  wait(ms: number): void;
  /** A set that is acknowledged at a revision. */
  set(item: string, value: Json, revision: number, epoch?: string): void;
  /** A delete that is acknowledged at a revision. */
  delete(item: string, revision: number): void;
  /** Any write, with its outcome left to the caller. */
  write(
    mutations: readonly MutationInput[],
    options?: { batch?: boolean; pipe?: string },
  ): WriteHandle;
  /** A transient event, with its outcome left to the caller. */
  send(tag: string, item?: string): OutcomeHandle;
  subscribe(
    options?: Omit<SubscribeIntent, "group" | "resumeFrom"> & { from?: number | Position },
  ): StorySubscription;
  /** A listing, page by page: items and revision of each. */
  list(...pages: readonly (readonly [items: readonly StoryItem[], revision: number])[]): void;
  /** The final listing. */
  final(items: readonly StoryItem[], revision: number, epoch?: string): void;
  get(item: string, found?: readonly [value: Json, revision: number]): void;
}

/** A subscription in a story. */
export interface StorySubscription {
  readonly handle: SubscriptionHandle;
  sync(
    items: readonly StoryItem[],
    revision: number,
    more?: { epoch?: string; first?: boolean; last?: boolean; timestamp?: number },
  ): void;
  change(
    change: "create" | "update" | "delete",
    item: string,
    value: Json,
    revision: number,
    more?: { epoch?: string; timestamp?: number },
  ): void;
  /** An update that appends to the text of an item. */
  append(item: string, text: string, base: number, revision: number): void;
  heartbeat(revision: number, epoch?: string): void;
  resumed(from: number | Position, head: number | Position): void;
  event(tag: string, timestamp: number, item?: string): void;
  end(by?: "server" | "cut" | "client"): void;
}

/** Name of the group of all stories. */
export const GROUP = "room";

/** Starts a story. */
export function createStory(): Story {
  const sink = memorySink();
  let now = 0;
  const clock = () => ++now;
  const recorderOf = (client: string) => createRecorder({ client, sink, now: clock });
  const writer = recorderOf("writer");
  const reader = recorderOf("reader");
  const readers = new Map<string, ReturnType<typeof recorderOf>>();
  const itemsOf = (items: readonly StoryItem[]) =>
    items.map(([item, value, revision]) => ({ item, value, revision }));

  return {
    history: sink.records,
    wait: (ms) => void (now += ms),
    set(item, value, revision, epoch) {
      writer
        .write({ group: GROUP, mutations: [{ op: "set", item, value }] })
        .acked({ position: at(revision, epoch) });
    },
    delete(item, revision) {
      writer
        .write({ group: GROUP, mutations: [{ op: "delete", item }] })
        .acked({ position: at(revision) });
    },
    write: (mutations, options) => writer.write({ group: GROUP, mutations, ...options }),
    send: (tag, item) => writer.send({ group: GROUP, event: "ping", item, value: { tag } }),
    subscribe({ from, subscriber = "sub", ...options } = {}) {
      const recorder = readers.get(subscriber) ?? recorderOf(subscriber);
      readers.set(subscriber, recorder);
      const resumeFrom = from === undefined ? undefined : at(from);
      return subscription(
        recorder.subscribe({ group: GROUP, subscriber, resumeFrom, ...options }),
        itemsOf,
      );
    },
    list(...pages) {
      const handle = reader.list(GROUP);
      for (const [items, revision] of pages) handle.page(itemsOf(items), at(revision));
      handle.done();
    },
    final(items, revision, epoch) {
      const handle = reader.list(GROUP, { final: true });
      handle.page(itemsOf(items), at(revision, epoch));
      handle.done();
    },
    get(item, found) {
      const handle = reader.get(GROUP, item);
      if (found === undefined) handle.missing();
      else handle.found(...found);
    },
  };
}

/** The position of a revision: in epoch `e`, except that revision 0 is the origin. */
export function at(revision: number | Position, epoch = "e"): Position {
  if (typeof revision !== "number") return revision;
  return { epoch: revision === 0 ? "" : epoch, revision };
}

function subscription(
  handle: SubscriptionHandle,
  itemsOf: (items: readonly StoryItem[]) => ItemInput[],
): StorySubscription {
  return {
    handle,
    sync(
      items,
      revision,
      { epoch, first = true, last = true, timestamp = Math.max(1, revision * 10) } = {},
    ) {
      handle.sync({ items: itemsOf(items), position: at(revision, epoch), first, last, timestamp });
    },
    change(change, item, value, revision, { epoch, timestamp = revision * 10 } = {}) {
      handle.change({ change, item, value, position: at(revision, epoch), timestamp });
    },
    append(item, text, baseRevision, revision) {
      const ops = [{ type: "append", path: [], value: text }];
      const frame = { item, ops, baseRevision, position: at(revision), timestamp: revision * 10 };
      handle.delta(frame);
    },
    heartbeat: (revision, epoch) => handle.heartbeat(at(revision, epoch)),
    resumed: (from, head) => handle.resumed(at(from), at(head)),
    event: (tag, timestamp, item) =>
      handle.event({ event: "ping", item, value: { tag }, timestamp }),
    end: (by = "client") => handle.end(by),
  };
}

/** A mutation that sets an item. */
export const put = (item: string, value: string): MutationInput => ({ op: "set", item, value });
