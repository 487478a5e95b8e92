import type { Position } from "../../src/core/position.ts";
import type {
  ItemInput,
  Json,
  MutationInput,
  ResultInput,
  SubscriptionHandle,
} from "../support/checker/index.ts";

/** The bugs that can be planted in the server. */
export type Bug =
  | "event before commit"
  | "skipped revision"
  | "lost frame"
  | "repeat after resume"
  | "stale snapshot"
  | "wrong snapshot"
  | "early heartbeat"
  | "stale base"
  | "wrong steps";

/** One entry of the log. */
interface LogEntry {
  readonly change: "create" | "update" | "delete";
  readonly item: string;
  readonly value: Json;
  readonly position: Position;
  readonly timestamp: number;
  /** Of an update by steps. */
  readonly delta: { readonly ops: readonly object[]; readonly baseRevision: number } | undefined;
}

/** A frame on its way to a subscriber. */
export interface Delivery {
  /** The subscriber's position afterwards; undefined when the frame has none. */
  readonly position: Position | undefined;
  /** Whether it is a part of a sync, with more to come. */
  readonly partial?: boolean;
  deliver(to: SubscriptionHandle): void;
}

/** A subscription at the server, with the frames that its client has not received yet. */
export interface ServerSubscription {
  readonly item: string | undefined;
  readonly deltas: boolean;
  queue: Delivery[];
}

/** The result of a commit; undefined: an expectation was not met. */
export type CommitResult =
  | { readonly position: Position | undefined; readonly results: ResultInput[] }
  | undefined;

/** One group of a small in-memory server that keeps every guarantee, unless a bug is planted. */
export interface SimulatedGroup {
  readonly items: ReadonlyMap<string, { readonly value: Json; readonly revision: number }>;
  head(): Position;
  /** Applies the mutations in one step and announces them to all subscriptions. */
  commit(mutations: readonly MutationInput[]): CommitResult;
  /** With "event before commit": announces a first mutation, before anything is stored. */
  announceEarly(mutation: MutationInput): void;
  send(event: string, item: string | undefined, value: Json): void;
  /** Opens a subscription: by replay if requested and possible, otherwise by a sync in parts. */
  open(
    item: string | undefined,
    resumeFrom: Position | undefined,
    options: { readonly honour: boolean; readonly deltas: boolean },
  ): ServerSubscription;
  /** Drops the queue of a subscription and continues from the position of its client. */
  reopen(subscription: ServerSubscription, received: Position | undefined, honour: boolean): void;
  close(subscription: ServerSubscription): void;
  heartbeat(subscription: ServerSubscription): void;
  snapshot(): ItemInput[];
  /** Loses everything, subscriptions included, like a memory store when its process ends. */
  forget(): void;
  /** Ends all subscriptions, like a crash. */
  disconnect(): void;
}

/** Creates a group. `newEpoch` names each history; `clock` is the wall clock in milliseconds. */
export function createSimulatedGroup(
  newEpoch: () => string,
  clock: () => number,
  bug: Bug | undefined,
): SimulatedGroup {
  let position: Position = { epoch: "", revision: 0 };
  let lastTimestamp = 0;
  let log: LogEntry[] = [];
  let cached: { items: ItemInput[]; position: Position; timestamp: number } | undefined;
  const items = new Map<string, { value: Json; revision: number }>();
  const subscriptions = new Set<ServerSubscription>();

  const tick = (): number => (lastTimestamp = Math.max(Math.floor(clock()), lastTimestamp + 1));
  const snapshot = (): ItemInput[] =>
    [...items].map(([item, { value, revision }]) => ({ item, value, revision }));
  const matches = (subscription: ServerSubscription, item: string | undefined): boolean =>
    subscription.item === undefined || subscription.item === item;
  const changeFrame = (entry: LogEntry, { deltas }: ServerSubscription): Delivery => {
    const { delta, ...whole } = entry;
    const { item, position, timestamp } = entry;
    return {
      position,
      deliver(to) {
        if (delta !== undefined && deltas) to.delta({ item, position, timestamp, ...delta });
        else to.change(whole);
      },
    };
  };

  const entryOf = (mutation: MutationInput): LogEntry | undefined => {
    const { item } = mutation;
    const before = items.get(item);
    if (mutation.op === "delete" && before === undefined) return undefined;
    const epoch = position.epoch === "" ? newEpoch() : position.epoch;
    const step = bug === "skipped revision" && position.revision % 7 === 6 ? 2 : 1;
    const change = mutation.op === "delete" ? "delete" : before === undefined ? "create" : "update";
    return {
      change,
      item,
      value: mutation.op === "delete" ? (before?.value ?? null) : valueOf(mutation, before?.value),
      position: { epoch, revision: position.revision + step },
      timestamp: tick(),
      delta: before === undefined ? undefined : deltaOf(mutation, before.revision),
    };
  };
  const deltaOf = (mutation: MutationInput, revision: number): LogEntry["delta"] => {
    if (mutation.op !== "update") return undefined;
    const value = bug === "wrong steps" ? { tag: "another" } : markOf(mutation);
    const baseRevision = bug === "stale base" ? revision - 1 : revision;
    return { ops: [{ type: "merge", path: [], value }], baseRevision };
  };
  const announce = (entry: LogEntry): void => {
    for (const subscription of subscriptions) {
      if (!matches(subscription, entry.item)) continue;
      if (bug === "lost frame" && entry.position.revision % 5 === 3) continue;
      subscription.queue.push(changeFrame(entry, subscription));
    }
  };
  const apply = (mutation: MutationInput, entry: LogEntry): void => {
    position = entry.position;
    log.push(entry);
    if (mutation.op === "delete") items.delete(mutation.item);
    else items.set(mutation.item, { value: entry.value, revision: position.revision });
  };

  const syncFrames = (subscription: ServerSubscription): Delivery[] => {
    const fresh = { items: snapshot(), position, timestamp: Math.max(1, lastTimestamp) };
    if (cached === undefined || position.revision > cached.position.revision + 25) cached = fresh;
    let state = fresh;
    if (bug === "stale snapshot") state = cached;
    if (bug === "wrong snapshot") state = { ...fresh, items: cached.items };
    const matching = state.items.filter(({ item }) => matches(subscription, item));
    const middle = Math.ceil(matching.length / 2);
    const parts =
      matching.length < 2 ? [matching] : [matching.slice(0, middle), matching.slice(middle)];
    return parts.map((part, i): Delivery => {
      const last = i === parts.length - 1;
      const { position: at, timestamp } = state;
      return {
        position: last ? at : undefined,
        partial: !last,
        deliver: (to) => to.sync({ items: part, position: at, first: i === 0, last, timestamp }),
      };
    });
  };
  const replayFrames = (subscription: ServerSubscription, from: Position): Delivery[] => {
    const head = position;
    const first = bug === "repeat after resume" ? from.revision : from.revision + 1;
    const replay = log.filter(
      (entry) => entry.position.revision >= first && matches(subscription, entry.item),
    );
    return [
      { position: from, deliver: (to) => to.resumed(from, head) },
      ...replay.map((entry) => changeFrame(entry, subscription)),
    ];
  };
  const openingFrames = (
    subscription: ServerSubscription,
    from: Position | undefined,
    honour: boolean,
  ): Delivery[] => {
    const known =
      from !== undefined &&
      from.revision <= position.revision &&
      (from.epoch === position.epoch || (from.epoch === "" && from.revision === 0));
    return known && honour ? replayFrames(subscription, from) : syncFrames(subscription);
  };

  return {
    items,
    head: () => position,
    commit(mutations) {
      const before = new Map(items);
      const unmet = mutations.some(
        ({ item, expectedRevision }) =>
          expectedRevision !== undefined && expectedRevision !== (before.get(item)?.revision ?? 0),
      );
      if (unmet) return undefined;
      const entries: LogEntry[] = [];
      const results = mutations.map((mutation): ResultInput => {
        const old = items.get(mutation.item);
        const entry = entryOf(mutation);
        if (entry === undefined) return { old: "none" };
        apply(mutation, entry);
        entries.push(entry);
        const result = {
          position: entry.position,
          old: old === undefined ? ("none" as const) : { value: old.value },
        };
        return mutation.op === "delete"
          ? result
          : { ...result, created: old === undefined, new: { value: entry.value } };
      });
      if (bug !== "event before commit") for (const entry of entries) announce(entry);
      return {
        position: mutations.length === 1 && entries.length === 0 ? undefined : position,
        results,
      };
    },
    announceEarly(mutation) {
      const entry = entryOf(mutation);
      if (entry !== undefined) announce(entry);
    },
    send(event, item, value) {
      const timestamp = tick();
      for (const subscription of subscriptions) {
        if (!matches(subscription, item)) continue;
        subscription.queue.push({
          position: undefined,
          deliver: (to) => to.event({ event, item, value, timestamp }),
        });
      }
    },
    open(item, resumeFrom, { honour, deltas }) {
      const subscription: ServerSubscription = { item, deltas, queue: [] };
      subscription.queue = openingFrames(subscription, resumeFrom, honour);
      subscriptions.add(subscription);
      return subscription;
    },
    reopen(subscription, received, honour) {
      subscription.queue = openingFrames(subscription, received, honour);
    },
    close: (subscription) => void subscriptions.delete(subscription),
    heartbeat(subscription) {
      const at = position;
      const frame: Delivery = { position: at, deliver: (to) => to.heartbeat(at) };
      if (bug === "early heartbeat") subscription.queue.splice(1, 0, frame);
      else subscription.queue.push(frame);
    },
    snapshot,
    forget() {
      position = { epoch: "", revision: 0 };
      lastTimestamp = 0;
      log = [];
      items.clear();
      subscriptions.clear();
    },
    disconnect: () => subscriptions.clear(),
  };
}

function valueOf(mutation: MutationInput, before: Json | undefined): Json {
  if (mutation.op === "set") return mutation.value;
  if (mutation.op === "delete") return null;
  return { ...(isObject(before) ? before : {}), ...markOf(mutation) };
}

/** What an update merges into an item. */
function markOf({ tag }: { readonly tag?: string | undefined }): Record<string, Json> {
  return tag === undefined ? { touched: true } : { tag };
}

function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
