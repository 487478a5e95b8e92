import { StreamError } from "../../core/errors.ts";
import { keyIdOf } from "../../core/idempotency.ts";
import { isResumable, type Position } from "../../core/position.ts";
import { type HistoryOf, isExpired } from "../../core/retention.ts";
import type { Item, LoggedChange } from "../../core/change.ts";
import type { Idempotency, Remembered } from "../../core/idempotency-key.ts";
import { type LogEntry, materialiser, smallest } from "../../core/log-entry.ts";
import type {
  Head,
  ItemPage,
  ItemPageRequest,
  ItemRead,
  ReadLimits,
  Replay,
  SnapshotReader,
  StateHead,
} from "../../core/store.ts";
import type { LogRange } from "../../core/log-range.ts";
import type { GroupKey } from "../../core/names.ts";
import type { GroupClock } from "../../core/group-clock.ts";
import type { LuaScript } from "../../redis/lua-script.ts";
import type { GroupRepair } from "./group-repair.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import { type RedisKeys, textOfGroup } from "./keys.ts";
import { type GroupHead, unpackEntry, unpackHead, unpackItem, textOf } from "./encoding.ts";
import { unpackRemembered } from "./outcomes.ts";
import { GET, HEADS, LIST_ITEMS, LOG_RANGE, SINCE } from "./scripts.ts";

/** Dependencies of sweeps. */
export interface SweepContext {
  readonly servers: RedisServers;
  readonly keys: RedisKeys;
  readonly historyOf: HistoryOf;
  /** How long idempotency keys are remembered, in milliseconds. */
  readonly windowMs: number;
  /** Wall clock for tests; undefined: that of the server. */
  readonly clock: (() => number) | undefined;
}

/** Dependencies of reads. */
export interface ReadContext extends SweepContext {
  readonly groupClock: Pick<GroupClock, "sync">;
  /** Records how many commits a partition has, in its lineage. @see PartitionGate.noteCommits */
  readonly note: (partition: number, commits: number, lineage: string) => void;
  readonly repair: GroupRepair;
  /** Decides whether a partition has lost writes, because a copy replaced its data. */
  readonly verify: (partition: number) => Promise<void>;
}

/** Reads groups. Each read is one atomic step at the server. */
export interface RedisReads {
  get(group: GroupKey, itemId: string): Promise<ItemRead>;
  recall(group: GroupKey, idempotency: Idempotency): Promise<Remembered | undefined>;
  heads(groups: readonly GroupKey[]): Promise<readonly Head[]>;
  list(group: GroupKey, page: ItemPageRequest): Promise<ItemPage>;
  snapshot(group: GroupKey, window?: number): SnapshotReader;
  since(group: GroupKey, from: Position, limits: ReadLimits): Promise<Replay>;
  deltasSince(group: GroupKey, from: Position, limits: ReadLimits): Promise<Replay<LoggedChange>>;
  logRange(group: GroupKey): Promise<LogRange>;
}

/** A page of items, with the full head of the group. */
interface Page {
  readonly head: StateHead;
  /** Number of items of the group. */
  readonly itemCount: number;
  readonly items: readonly Item[];
  /** For each item, the revision that created it, as text. */
  readonly places: readonly string[];
  readonly next: string | undefined;
}

/** How many groups one script reads. */
const HEADS_PER_SCRIPT = 500;

/** Creates the reads. */
export function createRedisReads(context: ReadContext): RedisReads {
  const { servers, keys, historyOf, windowMs, clock, groupClock, note, verify, repair } = context;
  const time = () => (clock === undefined ? "" : clock());
  /** @param given The script's clock (see lua/records.lua). */
  const stateHead = ({ position, timestamp }: GroupHead, given: unknown): StateHead => ({
    position,
    timestamp,
    syncTimestamp: groupClock.sync(timestamp, Number(given), () => Number(given)),
  });
  const placeOf = (group: GroupKey) => {
    const text = textOfGroup(group);
    const partition = keys.partitionOf(text);
    return { partition, ...keys.ofPartition(partition), ...keys.ofGroup(partition, text) };
  };
  /** @returns the reply of a script that reads: the lineage, and what follows the number of commits. */
  const run = async (
    partition: number,
    script: LuaScript,
    names: readonly string[],
    args: readonly (string | number)[],
  ): Promise<readonly unknown[]> => {
    const { tag } = keys.ofPartition(partition);
    const reply = await servers.run(tag, script, names, args.map(String), "read");
    const [lineage, commits, ...rest] = reply as readonly unknown[];
    note(partition, Number(commits), textOf(lineage));
    return [lineage, ...rest];
  };
  /**
   * Runs a script that reads several keys of a group. If they do not agree, they are repaired.
   *
   * @param isTorn Whether they do not, by the reply.
   */
  const runOnGroup = async (
    group: GroupKey,
    script: LuaScript,
    names: readonly string[],
    args: readonly (string | number)[],
    isTorn: (reply: readonly unknown[]) => boolean,
  ): Promise<readonly unknown[]> => {
    const text = textOfGroup(group);
    const partition = keys.partitionOf(text);
    const reply = await run(partition, script, names, args);
    if (!isTorn(reply)) return reply;
    try {
      await repair.repair(partition, text);
    } catch {
      // What could be read is returned; the next read tries again.
      return reply;
    }
    return run(partition, script, names, args);
  };

  /**
   * @param window Only the newest items, this many; for the first page in creation order.
   */
  const readPage = async (
    group: GroupKey,
    { maxCount, maxBytes, after = "", descending = false }: ItemPageRequest,
    window?: number,
  ): Promise<Page> => {
    const { state, head: headKey, items: itemsKey, order } = placeOf(group);
    const [lineage, head, more, given, , ...rest] = await runOnGroup(
      group,
      LIST_ITEMS,
      [state, headKey, itemsKey, order],
      [after, maxCount, maxBytes, time(), descending ? 1 : 0, window ?? ""],
      (reply) => textOf(reply[4]) === "1",
    );
    const items: Item[] = [];
    const places: string[] = [];
    for (let i = 0; i + 1 < rest.length; i += 2) {
      const stored = unpackItem(String(rest[i]), rest[i + 1]);
      if (stored === undefined) continue;
      items.push(stored.item);
      places.push(String(stored.createdRevision));
    }
    const known = unpackHead(head, lineage);
    const next = String(more) === "1" ? places.at(-1) : undefined;
    const { itemCount } = known;
    return { head: stateHead(known, given), itemCount, items, places, next };
  };

  /** Reads heads of one partition. This also detects lost writes for followers of quiet groups. */
  const readHeads = async (
    partition: number,
    places: readonly { readonly key: string }[],
  ): Promise<readonly unknown[]> => {
    const { state, mark } = keys.ofPartition(partition);
    const names = [state, mark, ...places.map(({ key }) => key)];
    const reply = await run(partition, HEADS, names, []);
    if (textOf(reply[1]) === "1") return reply;
    await verify(partition);
    return run(partition, HEADS, names, []);
  };

  /** @param changesOf Takes the entries that were asked for, and those that they need. */
  const readLog = async <Change>(
    group: GroupKey,
    from: Position,
    limits: ReadLimits,
    form: "w" | "d",
    changesOf: (entries: readonly LogEntry[], bases: readonly LogEntry[]) => readonly Change[],
  ): Promise<Replay<Change>> => {
    const { state, head: headKey, log } = placeOf(group);
    const { epoch, revision } = from;
    const isTorn = (reply: readonly unknown[]) => Number(reply[3]) < 0;
    const reply = await runOnGroup(
      group,
      SINCE,
      [state, headKey, log],
      [epoch, revision, limits.maxCount, limits.maxBytes, time(), form],
      isTorn,
    );
    const [lineage, packed, now, count, ...records] = reply;
    const { position: head, logCount } = unpackHead(packed, lineage);
    const logStart = head.revision - logCount + 1;
    if (isTorn(reply) || !isResumable(from, head, logStart)) return { lost: true, head };
    const all = records.map((record) => unpackEntry(record as Buffer, head.epoch));
    const entries = all.slice(0, Number(count));
    const [oldest] = entries;
    // Expired, but not swept yet.
    if (oldest !== undefined && isExpired(oldest.timeMs, Number(now), historyOf(group.streamName)))
      return { lost: true, head };
    return { lost: false, changes: changesOf(entries, all.slice(entries.length)), head };
  };

  return {
    async get(group, itemId) {
      const { partition, state, head: headKey, items } = placeOf(group);
      const names = [state, headKey, items];
      const [lineage, head, given, records] = await run(partition, GET, names, [time(), itemId]);
      const stored = unpackItem(itemId, (records as unknown[])[0]);
      return { ...stateHead(unpackHead(head, lineage), given), item: stored?.item };
    },

    async recall(group, idempotency) {
      const { partition, state, head, items, keys: keysKey } = placeOf(group);
      const names = [state, head, items, keysKey];
      const args = [time(), windowMs, 1, keyIdOf(idempotency)];
      const [, , , , remembered] = await run(partition, GET, names, args);
      return unpackRemembered((remembered as readonly unknown[])[0]);
    },

    async heads(groups) {
      const heads: Head[] = [];
      const byPartition = new Map<number, { readonly index: number; readonly key: string }[]>();
      groups.forEach((group, index) => {
        const text = textOfGroup(group);
        const partition = keys.partitionOf(text);
        const place = { index, key: keys.ofGroup(partition, text).head };
        const known = byPartition.get(partition);
        if (known === undefined) byPartition.set(partition, [place]);
        else known.push(place);
      });
      const asked: Promise<void>[] = [];
      for (const [partition, places] of byPartition) {
        for (let i = 0; i < places.length; i += HEADS_PER_SCRIPT) {
          const part = places.slice(i, i + HEADS_PER_SCRIPT);
          asked.push(
            readHeads(partition, part).then(([lineage, , ...packed]) => {
              part.forEach(({ index }, at) => {
                const { position, timestamp } = unpackHead(packed[at], lineage);
                heads[index] = { position, timestamp };
              });
            }),
          );
        }
      }
      await Promise.all(asked);
      return heads;
    },

    async list(group, page) {
      const after = cursor(page.after);
      const { head, itemCount, items, next } = await readPage(group, { ...page, after });
      return { items, position: head.position, itemCount, next };
    },

    snapshot(group, window) {
      let after: string | undefined;
      return {
        stable: false,
        async next(limits) {
          const first = after === undefined && window !== Infinity ? window : undefined;
          const page = await readPage(group, { ...limits, after }, first);
          const { head, items, next } = page;
          after = next;
          if (window === undefined) return { ...head, items, done: next === undefined };
          const ofWindow = { places: page.places, total: page.itemCount };
          return { ...head, items, window: ofWindow, done: next === undefined };
        },
        close() {},
      };
    },

    async since(group, from, limits) {
      return readLog(group, from, limits, "w", (entries, bases) => {
        const known = new Map([...bases, ...entries].map((each) => [each.position.revision, each]));
        return entries.map(materialiser((revision) => known.get(revision)));
      });
    },

    async deltasSince(group, from, limits) {
      return readLog(group, from, limits, "d", (entries) => entries.map(smallest));
    },

    async logRange(group) {
      const { state, head: headKey, log } = placeOf(group);
      const [lineage, packed, expired] = await runOnGroup(
        group,
        LOG_RANGE,
        [state, headKey, log],
        [historyOf(group.streamName).maxAgeMs, time()],
        (reply) => textOf(reply[3]) === "1",
      );
      const { position: head, logCount } = unpackHead(packed, lineage);
      return { head, oldest: head.revision - logCount + 1 + Number(expired) };
    },
  };
}

/** @throws StreamError PAGE_TOKEN_INVALID */
function cursor(after: string | undefined): string | undefined {
  if (after === undefined) return undefined;
  const revision = Number(after);
  if (Number.isSafeInteger(revision) && revision > 0) return String(revision);
  throw new StreamError(
    "PAGE_TOKEN_INVALID",
    "page_token is not one of this listing; it may be the next_page_token of the page before.",
  );
}
