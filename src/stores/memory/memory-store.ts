import { NO_AUTHOR } from "../../core/author.ts";
import type { ChangeEvent, TransientEvent } from "../../core/change.ts";
import { StreamError } from "../../core/errors.ts";
import { GroupClock } from "../../core/group-clock.ts";
import { idempotencyWindowOf } from "../../core/idempotency.ts";
import { createMemoryOutbox } from "../../core/memory-outbox.ts";
import { groupKeyText } from "../../core/names.ts";
import type { GroupKey } from "../../core/names.ts";
import { ORIGIN } from "../../core/position.ts";
import { historyOfStreams, mayForget, nextSweepMs } from "../../core/retention.ts";
import type { HistoryOf, HistoryOptions } from "../../core/retention.ts";
import type {
  GroupPage,
  Head,
  Outcome,
  SnapshotReader,
  StateHead,
  Store,
} from "../../core/store.ts";
import { compareUtf8 } from "../../core/text.ts";
import type { Fired } from "../../core/outbox.ts";
import { createWatchers } from "../../core/watchers.ts";
import { LifetimeIndex } from "./lifetime-index.ts";
import { MemoryGroup } from "./memory-group.ts";
import { SortedMap } from "./sorted-map.ts";
import { windowReader } from "./window-reader.ts";
import { startInterval } from "../../timers/timers.ts";

/** Options of a memory store. */
export interface MemoryStoreOptions {
  /** How much history a group keeps, absent limits having their defaults; or that of each stream. */
  readonly history?: HistoryOptions | HistoryOf | undefined;
  /**
   * How long a group remembers idempotency keys, in milliseconds, 1 to a hundred years. Default ten
   * minutes.
   */
  readonly idempotencyWindowMs?: number | undefined;
  /** Wall clock, Unix milliseconds. Default: that of the machine. */
  readonly clock?: (() => number) | undefined;
  /** Generates a unique epoch. Default: a random UUID. */
  readonly newEpoch?: (() => string) | undefined;
  /** Interval of sweeps of idle groups, in milliseconds. Default 1,000; 0: never. */
  readonly sweepIntervalMs?: number | undefined;
}

/** A store whose data lives as long as the process. */
export interface MemoryStore extends Store {
  /** Drops the expired history of idle groups. The store also does so by itself. */
  sweep(): void;
}

/**
 * A store in memory. It keeps every promise of the Store port except durability: each start begins
 * new epochs. The cost of reads and writes of a group does not depend on the number of groups. Its
 * readers of whole snapshots are not stable: each page is read at the current position.
 */
export function memoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  let historyOf = historyOfStreams(options.history);
  const windowMs = idempotencyWindowOf(options.idempotencyWindowMs);
  const clock = options.clock ?? Date.now;
  const newEpoch = options.newEpoch ?? (() => crypto.randomUUID());
  const groups = new Map<string, MemoryGroup>();
  /** Groups that hold items. */
  const present = new SortedMap<string, GroupKey>(compareUtf8);
  /** Number of groups that hold items, by stream. */
  const streams = new Map<string, number>();
  /** Groups with a time to sweep, the earliest first. */
  const sweepQueue = new SortedMap<MemoryGroup, undefined>(
    (a, b) => (a.sweepAtMs ?? 0) - (b.sweepAtMs ?? 0) || compareUtf8(a.text, b.text),
  );
  const watchers = createWatchers();
  const groupClock = new GroupClock();
  const outbox = createMemoryOutbox();
  const index = new LifetimeIndex();
  let closed = false;

  const assertOpen = () => {
    if (closed) throw new StreamError("STORE_UNAVAILABLE", "The store is closed.");
  };
  const find = (key: GroupKey) => groups.get(groupKeyText(key));
  const stateHead = ({ head }: MemoryGroup): StateHead => ({
    ...head,
    syncTimestamp: groupClock.sync(head.timestamp, 0, clock),
  });
  const findOrAdd = (key: GroupKey) => find(key) ?? new MemoryGroup(key, windowMs, index);

  const indexPresence = (group: MemoryGroup, before: number) => {
    // It rarely changes, and a lookup among all groups is not free.
    if (group.itemCount > 0 === before > 0) return;
    const { streamName } = group.key;
    if (group.itemCount > 0) present.set(group.text, group.key);
    else present.delete(group.text);
    const count = (streams.get(streamName) ?? 0) + (group.itemCount > 0 ? 1 : -1);
    if (count > 0) streams.set(streamName, count);
    else streams.delete(streamName);
  };

  const scheduleSweep = (group: MemoryGroup) => {
    if (group.sweepAtMs !== undefined) return;
    group.sweepAtMs = nextSweepMs(group.age, historyOf(group.key.streamName));
    if (group.sweepAtMs !== undefined) sweepQueue.set(group, undefined);
  };
  /** Its first idempotency key may expire before the changes for which it was scheduled. */
  const hastenSweep = (group: MemoryGroup) => {
    const { sweepAtMs } = group;
    const dueMs = nextSweepMs(group.age, historyOf(group.key.streamName)) ?? Infinity;
    if (sweepAtMs !== undefined && sweepAtMs <= dueMs) return;
    if (sweepAtMs !== undefined) sweepQueue.delete(group);
    group.sweepAtMs = undefined;
    scheduleSweep(group);
  };

  const sweep = () => {
    const nowMs = clock();
    for (;;) {
      const group = sweepQueue.first()?.[0];
      if (group?.sweepAtMs === undefined || group.sweepAtMs > nowMs) return;
      sweepQueue.delete(group);
      group.sweepAtMs = undefined;
      const history = historyOf(group.key.streamName);
      group.trim(nowMs, history);
      if (mayForget(group.age, nowMs, history)) groups.delete(group.text);
      else scheduleSweep(group);
    }
  };

  const intervalMs = options.sweepIntervalMs ?? 1000;
  const timer = intervalMs > 0 ? startInterval(intervalMs, sweep) : undefined;
  // The timer must not keep the process alive.
  timer?.unref();

  const snapshot = (key: GroupKey): SnapshotReader => {
    let after: string | undefined;
    return {
      stable: false,
      async next(limits) {
        assertOpen();
        const group = findOrAdd(key);
        const { items, position, next } = group.list({ ...limits, after });
        after = next;
        const { timestamp, syncTimestamp } = stateHead(group);
        return { items, position, timestamp, syncTimestamp, done: next === undefined };
      },
      close() {},
    };
  };

  return {
    sweep,
    useHistory: (historyWith) => (historyOf = historyWith(historyOf(""))),
    outbox: {
      ...outbox,
      async scan(...args) {
        assertOpen();
        return outbox.scan(...args);
      },
      async read(...args) {
        assertOpen();
        return outbox.read(...args);
      },
      async settle(...args) {
        assertOpen();
        return outbox.settle(...args);
      },
    },
    lifetimes: {
      async expired(limit) {
        assertOpen();
        return index.expired(clock(), limit);
      },
      async boundTo(connection, limit) {
        assertOpen();
        return index.boundTo(connection, limit);
      },
      async connections(page) {
        assertOpen();
        return index.connections(page);
      },
    },
    async run(key, commits) {
      assertOpen();
      const known = find(key);
      const group = known ?? new MemoryGroup(key, windowMs, index);
      const outcomes: Outcome[] = [];
      const announced: (readonly ChangeEvent[])[] = [];
      const allFired: (readonly Fired[])[] = [];
      let remembers = false;
      for (const commit of commits) {
        const nowMs = clock();
        const itemsBefore = group.itemCount;
        const { outcome, changes, fired, isRemembered } = group.commit(
          commit,
          nowMs,
          groupClock.floor(group.head.timestamp, 0),
          newEpoch,
        );
        outcomes.push(outcome);
        if (isRemembered) {
          remembers = true;
          hastenSweep(group);
        }
        if (changes.length === 0) continue;
        announced.push(changes);
        allFired.push(fired);
        group.trim(nowMs, historyOf(key.streamName));
        indexPresence(group, itemsBefore);
        scheduleSweep(group);
      }
      if (known === undefined && (announced.length > 0 || remembers)) groups.set(group.text, group);
      // Appended before the announcement: a listener may write, and its firings come later.
      outbox.append(group.key, joined(allFired));
      watchers.announce(group.text, joined(announced));
      return outcomes;
    },
    async broadcast(key, { fires, isQuiet, author = NO_AUTHOR, ...message }) {
      assertOpen();
      const group = findOrAdd(key);
      const { position, timestamp } = group.tick(
        clock(),
        groupClock.floor(group.head.timestamp, 0),
      );
      groups.set(group.text, group);
      scheduleSweep(group);
      const event: TransientEvent = {
        kind: "event",
        ...message,
        after: position,
        timestamp,
        author,
      };
      if (fires !== undefined) outbox.append(group.key, [{ event, firing: fires }]);
      if (isQuiet !== true) watchers.announce(group.text, [event]);
    },
    async get(key, itemId) {
      assertOpen();
      const group = findOrAdd(key);
      return { ...stateHead(group), item: group.get(itemId) };
    },
    async recall(key, idempotency) {
      assertOpen();
      return find(key)?.recall(idempotency, clock());
    },
    async heads(keys): Promise<readonly Head[]> {
      assertOpen();
      return keys.map((key) => find(key)?.head ?? { position: ORIGIN, timestamp: 0 });
    },
    async list(key, page) {
      assertOpen();
      return findOrAdd(key).list(page);
    },
    async snapshot(key, window) {
      assertOpen();
      if (window === undefined) return snapshot(key);
      const group = findOrAdd(key);
      return windowReader(group.newest(window), stateHead(group), assertOpen);
    },
    async since(key, from, limits) {
      assertOpen();
      return findOrAdd(key).since(from, limits, clock(), historyOf(key.streamName));
    },
    async deltasSince(key, from, limits) {
      assertOpen();
      return findOrAdd(key).deltasSince(from, limits, clock(), historyOf(key.streamName));
    },
    async logRange(key) {
      assertOpen();
      return findOrAdd(key).logRange(clock(), historyOf(key.streamName));
    },
    async groups(streamName, { after, limit }) {
      assertOpen();
      const ids: string[] = [];
      if (limit <= 0) return ids;
      for (const [, key] of present.entries(`${streamName}\u0000${after ?? ""}`)) {
        if (key.streamName !== streamName) break;
        ids.push(key.groupId);
        if (ids.length >= limit) break;
      }
      return ids;
    },
    async allGroups({ after, limit }): Promise<GroupPage> {
      assertOpen();
      const page: GroupKey[] = [];
      for (const [, key] of present.entries(
        after === undefined ? undefined : groupKeyText(after),
      )) {
        if (page.length >= limit) break;
        page.push(key);
      }
      return { groups: page, streamCount: streams.size };
    },
    async watch(key, listener) {
      assertOpen();
      return watchers.add(key, listener);
    },
    async close() {
      if (closed) return;
      closed = true;
      timer?.cancel();
      watchers.clear();
    },
  };
}

/** The lists concatenated, without a copy when there is one. */
function joined<T>(lists: readonly (readonly T[])[]): readonly T[] {
  const [first = []] = lists;
  return lists.length > 1 ? lists.flat() : first;
}
