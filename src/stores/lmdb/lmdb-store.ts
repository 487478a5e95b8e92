import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { StreamError } from "../../core/errors.ts";
import { GroupClock } from "../../core/group-clock.ts";
import { idempotencyWindowOf, isKeyExpired, keyIdOf } from "../../core/idempotency.ts";
import { groupKeyText, type GroupKey } from "../../core/names.ts";
import { type HistoryOf, type HistoryOptions, historyOfStreams } from "../../core/retention.ts";
import { RecentMap } from "../../core/recent-map.ts";
import type { ServiceState } from "../../core/service-state.ts";
import type { StateHead, Store } from "../../core/store.ts";
import { createWatchers } from "../../core/watchers.ts";
import {
  CommitQueue,
  DEFAULT_COMMIT_QUEUE_LIMITS,
  type CommitQueueLimits,
} from "./commit-queue.ts";
import type { Disk } from "./disk.ts";
import { groupName, type GroupName } from "./keys.ts";
import { readKey } from "./keys-draft.ts";
import { ItemCache, cacheKey } from "./item-cache.ts";
import { readBound, readConnections, readExpired } from "./lifetime-index.ts";
import { createLmdbOutbox, lastSeq } from "./lmdb-outbox.ts";
import { createLmdbServiceState } from "./lmdb-service-state.ts";
import { formatIn } from "./folder/format.ts";
import { epochIn } from "./folder/lineage.ts";
import type { FolderDisk } from "./folder/living-disk.ts";
import { openFolder } from "./folder/open-folder.ts";
import {
  headOf,
  isSweepDue,
  readChanges,
  readDeltas,
  readGroup,
  readGroupIds,
  readGroups,
  readItem,
  readItems,
  readLogRange,
  type Source,
} from "./reads.ts";
import type { GroupRecord } from "./encoding.ts";
import { LmdbSnapshotReader, createBudget, windowExtent } from "./snapshot.ts";
import { WriteBatch } from "./write-batch.ts";
import { startInterval } from "../../timers/timers.ts";

/** Options of a durable store. */
export interface LmdbStoreOptions {
  /** The folder of the data. Created if missing. Only one store at a time can use it. */
  readonly folder: string;
  /**
   * Whether every group begins a new epoch, for a restore that cannot be detected, such as that of
   * a whole disk. Default false.
   */
  readonly beginNewEpochs?: boolean | undefined;
  /** How much history a group keeps, absent limits having their defaults; or that of each stream. */
  readonly history?: HistoryOptions | HistoryOf | undefined;
  /**
   * How long a group remembers idempotency keys, in milliseconds, 1 to a hundred years. Default ten
   * minutes.
   */
  readonly idempotencyWindowMs?: number | undefined;
  /** Wall clock, Unix milliseconds. Default: that of the machine. */
  readonly clock?: (() => number) | undefined;
  /** Names a new epoch; each name must be unique, and without `~`. Default: random. */
  readonly newEpoch?: (() => string) | undefined;
  /** Interval of sweeps of groups without writes, in milliseconds. Default 1,000; 0: never. */
  readonly sweepIntervalMs?: number | undefined;
  /** How long a snapshot reader may hold a state of the disk, in milliseconds. Default 5,000. */
  readonly snapshotHoldMs?: number | undefined;
  /** Limits of the commit queue; absent members have their defaults. */
  readonly queue?: Partial<CommitQueueLimits> | undefined;
}

/** A durable store. */
export interface LmdbStore extends Store {
  /** ServiceState of other modules, kept beside the data. */
  readonly serviceState: ServiceState;
  /** Drops the expired history of groups without writes. The store also does so by itself. */
  sweep(): Promise<void>;
}

/**
 * Opens the durable store of a folder.
 *
 * Every acknowledged write is on disk (one flush serves all concurrent writers), and no write is
 * visible or announced before. Items, log, positions and timestamps survive a restart or a crash.
 * The cost of opening, reading and writing does not depend on the size of the store.
 *
 * When the disk fails a write, the calls in its batch get OUTCOME_UNKNOWN, every later write gets
 * STORE_UNAVAILABLE until the store is opened again, and reads continue from the last durable
 * state.
 *
 * @throws StreamError STORE_UNAVAILABLE when the folder cannot be used or another store has it.
 */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<LmdbStore> {
  return createLmdbStore(await openFolder(resolve(options.folder), options), options);
}

const SWEEP_GROUPS = 256;
const SWEEP_DROPS = 10_000;
const FAILED_CLOSE_MS = 5000;
/** Memory of all readers that are too slow for the disk, in total. */
const SNAPSHOT_BUDGET_BYTES = 128 * 1024 * 1024;
const MAX_CACHED_GROUPS = 20_000;
const MAX_CACHED_ITEMS_BYTES = 16 * 1024 * 1024;
// Each may hold a different state; the database has room for 1,024.
const MAX_HELD_SNAPSHOTS = 256;

/**
 * Creates the store over an open database, which it closes.
 *
 * @internal
 */
export function createLmdbStore(
  disk: Disk & Partial<Pick<FolderDisk, "lineage" | "beganMs" | "lost">>,
  options: Omit<LmdbStoreOptions, "folder">,
): LmdbStore {
  const historyOf = historyOfStreams(options.history);
  const windowMs = idempotencyWindowOf(options.idempotencyWindowMs);
  const clock = options.clock ?? Date.now;
  const newGivenEpoch = options.newEpoch ?? (() => randomBytes(9).toString("base64url"));
  const newEpoch = () => epochIn(lineage, newGivenEpoch());
  const { tables, lineage = "", beganMs = 0 } = disk;
  const groupClock = new GroupClock();
  const watchers = createWatchers();
  const snapshotBudget = createBudget(SNAPSHOT_BUDGET_BYTES);
  /** Snapshot readers that hold a state, the oldest first. */
  const held = new Set<LmdbSnapshotReader>();
  const cache = new RecentMap<string, { readonly name: GroupName; readonly record: GroupRecord }>(
    MAX_CACHED_GROUPS,
  );
  const items = new ItemCache(MAX_CACHED_ITEMS_BYTES);
  let source: Source = { view: disk.view(), tables, lineage };
  let closing: Promise<void> | undefined;
  let seq = lastSeq(source.view, tables);
  let format = formatIn(source.view, tables);

  const load = (key: GroupKey) => {
    const known = cache.get(groupKeyText(key));
    if (known !== undefined) return known;
    const name = groupName(key);
    return { name, record: readGroup(source, name) };
  };

  const stateHead = (record: GroupRecord): StateHead => ({
    ...headOf(record),
    syncTimestamp: groupClock.sync(record.timestamp, beganMs, clock),
  });

  const queue = new CommitQueue({
    disk,
    limits: { ...DEFAULT_COMMIT_QUEUE_LIMITS, ...options.queue },
    begin() {
      groupClock.hold(clock);
      return new WriteBatch({
        ...{ tables, load, items, historyOf, windowMs, clock, groupClock, beganMs, newEpoch },
        view: source.view,
        format,
        lastSeq: seq,
      });
    },
    publish(batch) {
      const before = source;
      source = { view: disk.view(), tables, lineage };
      before.view.release();
      batch.noteItems(items);
      for (const group of batch.records()) cache.set(group.name.text, group);
      seq += batch.fired.length;
      format = batch.format;
      if (batch.fired.length > 0) outbox.announce(batch.fired);
      for (const { group, events } of batch.announcements) watchers.announce(group, events);
    },
    end: () => groupClock.release(),
  });

  void disk.lost?.then((problem) => queue.fail(problem));

  const assertOpen = () => {
    if (closing !== undefined) throw new StreamError("STORE_UNAVAILABLE", "The store is closed.");
  };
  const read = async <T>(work: () => T): Promise<T> => {
    assertOpen();
    try {
      return work();
    } catch (cause) {
      if (cause instanceof StreamError) throw cause;
      throw new StreamError("STORE_UNAVAILABLE", "The store could not read its data.", { cause });
    }
  };

  const write: CommitQueue["write"] = async (writesOn) => {
    assertOpen();
    return queue.write(writesOn);
  };
  const outbox = createLmdbOutbox({
    tables,
    lineage,
    read: (work) => read(() => work(source.view)),
    write,
  });
  const serviceState = createLmdbServiceState(
    tables,
    () => source.view,
    (writes) => write(() => writes),
  );

  let sweeping: Promise<void> | undefined;
  const sweepAll = async () => {
    // Usually no group is due, and the queue is not used.
    for (let more = isSweepDue(source, clock()); more && closing === undefined;) {
      more = await queue.sweep(SWEEP_GROUPS, SWEEP_DROPS);
    }
  };
  const sweep = () => {
    sweeping ??= sweepAll().finally(() => {
      sweeping = undefined;
    });
    return sweeping;
  };
  const intervalMs = options.sweepIntervalMs ?? 1000;
  // Failures are ignored here, because writers get them, too.
  const timer =
    intervalMs > 0
      ? startInterval(intervalMs, () => void sweep().catch(() => undefined))
      : undefined;
  timer?.unref();

  const close = async () => {
    timer?.cancel();
    await queue.close();
    for (const reader of Array.from(held)) reader.close();
    watchers.clear();
    source.view.release();
    // A failed disk may never respond.
    await (queue.failure !== undefined
      ? Promise.race([disk.close(), delay(FAILED_CLOSE_MS, undefined, { ref: false })])
      : disk.close());
  };

  return {
    sweep,
    outbox,
    lifetimes: {
      expired: (limit) => read(() => readExpired(source.view, tables, clock(), limit)),
      boundTo: (connection, limit) => read(() => readBound(source.view, tables, connection, limit)),
      connections: (page) => read(() => readConnections(source.view, tables, page)),
    },
    serviceState,
    get failure() {
      return queue.failure;
    },
    run: (key, commits) => queue.run(key, commits),
    broadcast: (key, message) => queue.broadcast(key, message),
    get: (key, itemId) =>
      read(() => {
        const { name, record } = load(key);
        const stored = items.get(cacheKey(name.text, itemId)) ?? readItem(source, name, itemId);
        return { ...stateHead(record), item: stored?.item };
      }),
    recall: (key, idempotency) =>
      read(() => {
        const found = readKey(source.view, tables, groupName(key), keyIdOf(idempotency));
        if (found === undefined || isKeyExpired(found.timeMs, clock(), windowMs)) return undefined;
        return found.remembered;
      }),
    heads: (keys) => read(() => keys.map((key) => headOf(load(key).record))),
    list: (key, page) =>
      read(() => {
        const { name, record } = load(key);
        const { itemCount } = record;
        return { ...readItems(source, name, headOf(record).position, page), itemCount };
      }),
    snapshot: (key, window) =>
      read(() => {
        const { name, record } = load(key);
        if (held.size >= MAX_HELD_SNAPSHOTS) {
          Array.from(held)
            .find((reader) => !reader.isLeaving)
            ?.takeIntoMemory();
        }
        const extent =
          window === undefined ? undefined : windowExtent(source, name, record.itemCount, window);
        source.view.retain();
        const reader = new LmdbSnapshotReader(
          source,
          name,
          stateHead(record),
          options.snapshotHoldMs ?? 5000,
          snapshotBudget,
          () => held.delete(reader),
          extent,
        );
        held.add(reader);
        return reader;
      }),
    since: (key, from, limits) =>
      read(() => {
        const { name, record } = load(key);
        const history = historyOf(key.streamName);
        return readChanges(source, name, record, { from, limits, nowMs: clock(), history });
      }),
    deltasSince: (key, from, limits) =>
      read(() => {
        const { name, record } = load(key);
        const history = historyOf(key.streamName);
        return readDeltas(source, name, record, { from, limits, nowMs: clock(), history });
      }),
    logRange: (key) =>
      read(() => {
        const { name, record } = load(key);
        return readLogRange(source, name, record, clock(), historyOf(key.streamName));
      }),
    groups: (streamName, { after, limit }) =>
      read(() => readGroupIds(source, streamName, after, limit)),
    allGroups: ({ after, limit }) => read(() => readGroups(source, after, limit)),
    async watch(key, listener) {
      assertOpen();
      return watchers.add(key, listener);
    },
    close() {
      closing ??= close();
      return closing;
    },
  };
}
