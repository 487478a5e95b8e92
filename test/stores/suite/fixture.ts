import type { ChangeEvent, GroupEvent, Item } from "../../../src/core/change.ts";
import type { GroupKey } from "../../../src/core/names.ts";
import type { HistoryOf } from "../../../src/core/retention.ts";
import type {
  Commit,
  Committed,
  History,
  Mutation,
  Outcome,
  ReadLimits,
  Store,
} from "../../../src/core/store.ts";
import type { StreamError } from "../../../src/core/errors.ts";
import { Value } from "../../../src/core/value.ts";
import type { Json } from "../../../src/core/value.ts";

/** What a test needs of its store. */
export interface StoreRequest {
  readonly history?: Partial<History> | HistoryOf;
  readonly idempotencyWindowMs?: number;
  readonly clock?: () => number;
  readonly newEpoch?: () => string;
}

/** A store for one test. */
export interface StoreFixture {
  readonly store: Store;
  /** Sweeps idle groups, as the store does periodically. */
  sweep(): Promise<void>;
  /** Closes the store and removes its data. */
  dispose(): Promise<void>;
}

/** Opens an empty store. */
export type OpenStore = (request: StoreRequest) => Promise<StoreFixture>;

/** A clock that tests set. */
export interface TestClock {
  (): number;
  nowMs: number;
}

/** Starts a clock at an arbitrary time. */
export function testClock(): TestClock {
  const clock = Object.assign(() => clock.nowMs, { nowMs: 1_700_000_000_000 });
  return clock;
}

/** Limits that no test reaches. */
export const ALL: ReadLimits = { maxCount: 100_000, maxBytes: 1e9 };

/** A group of the default stream. */
export function groupOf(groupId: string, streamName = "stream"): GroupKey {
  return { streamName, groupId };
}

export function put(itemId: string, json: Json, expectedRevision?: number): Mutation {
  return { kind: "put", itemId, value: Value.of(json), expectedRevision };
}

export function remove(itemId: string, expectedRevision?: number): Mutation {
  return { kind: "delete", itemId, expectedRevision };
}

/** Appends a mark to the item's text, starting from "". */
export function mark(itemId: string, text: string, expectedRevision?: number): Mutation {
  return {
    kind: "reduce",
    bytes: 0,
    itemId,
    expectedRevision,
    reduce: (current) => ({
      value: Value.of(`${(current?.json() as string) ?? ""}${text}`),
      errors: [],
    }),
  };
}

/** Runs one commit. */
export async function attempt(
  store: Store,
  group: GroupKey,
  mutations: readonly Mutation[],
  rest: Omit<Commit, "mutations"> = {},
): Promise<Outcome> {
  const [outcome] = await store.run(group, [{ mutations, ...rest }]);
  if (outcome === undefined) throw new Error("The store gave no outcome.");
  return outcome;
}

/** Runs one commit that must take effect. */
export async function commit(
  store: Store,
  group: GroupKey,
  ...mutations: Mutation[]
): Promise<Committed> {
  const outcome = await attempt(store, group, mutations);
  if (!outcome.ok) throw outcome.error;
  return outcome;
}

/** Runs one commit that must be refused. */
export async function refusal(
  store: Store,
  group: GroupKey,
  mutations: readonly Mutation[],
  rest: Omit<Commit, "mutations"> = {},
): Promise<StreamError> {
  const outcome = await attempt(store, group, mutations, rest);
  if (outcome.ok) throw new Error("The commit was not refused.");
  return outcome.error;
}

/** All items of a group as [id, JSON], in creation order. */
export async function contents(
  store: Store,
  group: GroupKey,
): Promise<readonly (readonly [string, Json])[]> {
  const { items } = await store.list(group, ALL);
  return items.map(brief);
}

/**
 * All changes since a revision of the group's epoch; "lost" when the log does not reach back to it.
 */
export async function changesSince(
  store: Store,
  group: GroupKey,
  revision: number,
): Promise<"lost" | readonly ChangeEvent[]> {
  const [head] = await store.heads([group]);
  const replay = await store.since(group, { epoch: head?.position.epoch ?? "", revision }, ALL);
  return replay.lost ? "lost" : replay.changes;
}

/** An item as [id, JSON]. */
export function brief(item: Item): readonly [string, Json] {
  return [item.itemId, item.value.json()];
}

/** An event with its value as JSON, for comparing. */
export function plain(event: GroupEvent): Record<string, unknown> {
  return { ...event, value: event.value.json() };
}

/** Records the events of a group and lets a test wait for them. */
export interface EventRecorder {
  readonly events: readonly GroupEvent[];
  /** Resolves once `count` events were received in total. */
  received(count: number): Promise<void>;
  stop(): void;
}

/** Starts recording the events of a group. */
export async function listen(store: Store, group: GroupKey): Promise<EventRecorder> {
  const events: GroupEvent[] = [];
  let waiting: { count: number; resolve: () => void }[] = [];
  const stop = await store.watch(group, (event) => {
    events.push(event);
    for (const waiter of waiting) if (events.length >= waiter.count) waiter.resolve();
    waiting = waiting.filter((waiter) => events.length < waiter.count);
  });
  return {
    events,
    received: (count) =>
      new Promise((resolve) => {
        if (events.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
    stop,
  };
}
