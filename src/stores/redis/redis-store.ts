import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { StreamError } from "../../core/errors.ts";
import { GroupClock } from "../../core/group-clock.ts";
import { idempotencyWindowOf } from "../../core/idempotency.ts";
import { groupKeyText } from "../../core/names.ts";
import { type HistoryOf, type HistoryOptions, historyOfStreams } from "../../core/retention.ts";
import type { Broadcast, Commit, Mutation, Outcome, Store } from "../../core/store.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import type { RedisLink } from "../../redis/redis-link.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { ServerFacts } from "../../redis/server-facts.ts";
import { createGroupListing } from "./group-listing.ts";
import type { GroupWrite } from "./group-batch.ts";
import { createGroupRepair } from "./group-repair.ts";
import { type RedisKeys, redisKeys } from "./keys.ts";
import {
  formatFor,
  formatForEvent,
  endsItems,
  hasKey,
  withoutAuthor,
  withoutDeltas,
} from "./record-needs.ts";
import { openLayout } from "./layout.ts";
import { PartitionWriter } from "./partition-writer.ts";
import { createFeed } from "./redis-feed.ts";
import { createRedisLifetimes } from "./redis-lifetimes.ts";
import { createRedisOutbox } from "./redis-outbox.ts";
import { createRedisReads } from "./redis-reads.ts";
import { FENCE, SCRIPTS } from "./scripts.ts";
import { createSweeper } from "./sweeper.ts";
import type { WriterContext } from "./writer-context.ts";

/** Options of a store in Redis. */
export interface RedisStoreOptions {
  /** The Redis servers. The store closes them. */
  readonly servers: RedisServers;
  /** Prefix of all its key names, in braces. Default `millrace`. */
  readonly keyPrefix?: string | undefined;
  /** How much history a group keeps, absent limits having their defaults; or that of each stream. */
  readonly history?: HistoryOptions | HistoryOf | undefined;
  /**
   * How long a group remembers idempotency keys, in milliseconds, 1 to a hundred years. Default ten
   * minutes.
   */
  readonly idempotencyWindowMs?: number | undefined;
  /** Limits of the writes that wait for the server. */
  readonly queue?: Partial<RedisQueueLimits> | undefined;
  /** Wall clock, Unix milliseconds. Default: that of the server, which all processes share. */
  readonly clock?: (() => number) | undefined;
  /** Names a new epoch; each name must be unique. Default: random. */
  readonly newEpoch?: (() => string) | undefined;
  /** Interval of sweeps of groups without writes, in milliseconds. Default 1,000; 0: never. */
  readonly sweepIntervalMs?: number | undefined;
  /** Number of partitions of newly created data. Default 64. */
  readonly partitions?: number | undefined;
  /** @see WriterContext.ready Default: at once. */
  readonly ready?: (() => Promise<string>) | undefined;
  /** @see WriterContext.agreed Default: nothing ever. */
  readonly agreed?: (() => number) | undefined;
  /**
   * Whether all processes that share the data read records with authors. While one does not, changes
   * and events are written without theirs. Default: they all do.
   */
  readonly mayWriteAuthors?: (() => boolean) | undefined;
  /**
   * Whether all processes that share the data know idempotency keys. While one does not, commits that
   * have one are refused, since that process would run them again. Default: they all do.
   */
  readonly mayUseKeys?: (() => boolean) | undefined;
  /**
   * Whether all processes that share the data read logs with deltas. While one does not, every
   * change is logged whole. Default: they all do.
   */
  readonly mayWriteDeltas?: (() => boolean) | undefined;
  /**
   * Whether all processes that share the data support lifetimes. While one does not, commits that
   * give an item a lifetime are refused. Default: all do.
   */
  readonly mayUseLifetimes?: (() => boolean) | undefined;
  /**
   * Whether this process is responsible for a partition: only its items are listed as expired.
   * Default: for all of them.
   */
  readonly owns?: ((partition: number) => boolean) | undefined;
  /** @see WriterContext.onLoss */
  readonly onLoss?: ((partition: number) => void) | undefined;
}

/** Limits of the writes that wait for the server. */
export interface RedisQueueLimits {
  /** Most commits and events that wait. */
  readonly maxWaiting: number;
  /** Most bytes of values that wait. */
  readonly maxWaitingBytes: number;
}

/** Default limits. */
const DEFAULT_REDIS_QUEUE_LIMITS: RedisQueueLimits = {
  maxWaiting: 100_000,
  maxWaitingBytes: 256 * 1024 * 1024,
};

/** A store in Redis, for the processes of a fleet. */
export interface RedisStore extends Store {
  /** Sweeps groups without writes. The store also does so by itself. */
  sweep(): Promise<void>;
  /** Fences a process: it can commit nothing more under the name that `ready` returned. */
  fence(name: string): Promise<void>;
  /** Makes the outbox of a partition accept only settlements with this fence from now on. */
  claim(partition: number, fence: string): Promise<void>;
}

/** Timeout for removing a closing writer from the server, in milliseconds. */
const FORGET_MS = 500;

/** Prepares servers for a store. To be called before they are started. */
export function prepareForStore(servers: RedisServers): void {
  servers.addScripts(...SCRIPTS);
}

/**
 * Opens or creates the store in Redis.
 *
 * @throws StreamError STORE_UNAVAILABLE when the server cannot be reached in time; Error when the
 *   data has another format.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<RedisStore> {
  const { servers } = options;
  const prefix = options.keyPrefix ?? "millrace";
  const layout = await openLayout(servers, prefix, options.partitions);
  const keys = redisKeys(prefix, layout.partitions);
  const historyOf = historyOfStreams(options.history);
  const limits = { ...DEFAULT_REDIS_QUEUE_LIMITS, ...options.queue };
  const windowMs = idempotencyWindowOf(options.idempotencyWindowMs);
  const { clock, newEpoch = epochNames(), mayWriteAuthors = () => true } = options;
  const { mayWriteDeltas = () => true, mayUseKeys = () => true } = options;
  const { mayUseLifetimes = () => true, owns = () => true } = options;
  const outbox = createRedisOutbox(servers, keys);
  const note = (partition: number, commits: number, lineage: string) =>
    writerOf(partition).lease.noteCommits(commits, lineage);
  const feed = createFeed(servers, keys, note);
  const verify = async (partition: number) => {
    const { tag } = keys.ofPartition(partition);
    await servers.attempt(tag, "read", (link) => writerOf(partition).lease.look(link));
  };
  const groupClock = new GroupClock();
  const repair = createGroupRepair({ servers, keys, clock, newEpoch });
  const reads = createRedisReads({
    ...{ servers, keys, historyOf, windowMs, clock, groupClock, note, verify, repair },
  });
  const listing = createGroupListing(servers, keys);
  const sweeper = createSweeper(
    { servers, keys, historyOf, windowMs, clock },
    options.sweepIntervalMs ?? 1000,
  );
  const context: WriterContext = {
    servers,
    keys,
    historyOf,
    windowMs,
    clock,
    groupClock,
    newEpoch,
    repair,
    ready: options.ready ?? (async () => servers.instanceId),
    agreed: options.agreed ?? (() => 0),
    onLoss: options.onLoss ?? (() => {}),
  };
  const writers = new Map<number, PartitionWriter>();
  let waiting = 0;
  let waitingBytes = 0;
  let closing: Promise<void> | undefined;

  const assertOpen = () => {
    if (closing !== undefined) throw new StreamError("STORE_UNAVAILABLE", "The store is closed.");
  };
  const lifetimes = createRedisLifetimes({ servers, keys, clock, owns, assertOpen });
  const writerOf = (partition: number) => {
    const known = writers.get(partition);
    if (known !== undefined) return known;
    const writer = new PartitionWriter(context, partition);
    writers.set(partition, writer);
    return writer;
  };
  const submit = (
    groupText: string,
    work: GroupWrite["work"],
    count: number,
    bytes: number,
  ): Promise<readonly Outcome[]> => {
    if (waiting + count > limits.maxWaiting || waitingBytes + bytes > limits.maxWaitingBytes) {
      throw new StreamError(
        "OVERLOADED",
        "Too many writes wait for the store; the call may be sent again later.",
      );
    }
    waiting += count;
    waitingBytes += bytes;
    return new Promise<readonly Outcome[]>((resolve, reject) => {
      const sinceMs = performance.now();
      const agreed = context.agreed();
      const job: GroupWrite = {
        groupText,
        work,
        sinceMs,
        bytes,
        mutations: count,
        agreed,
        resolve,
        reject,
      };
      writerOf(keys.partitionOf(groupText)).add(job);
    }).finally(() => {
      waiting -= count;
      waitingBytes -= bytes;
    });
  };

  // The first process that connects detects lost writes at once, not only with the next write.
  const look = async (link: RedisLink, facts: ServerFacts) => {
    const looks: Promise<void>[] = [];
    for (let partition = 0; partition < keys.partitions; partition++) {
      const { tag } = keys.ofPartition(partition);
      if (servers.serves(link, tag)) looks.push(writerOf(partition).lease.look(link, facts));
    }
    await Promise.all(looks);
  };
  const unwatch = servers.addGreeter(look);
  for (const link of servers.links) if (link.facts !== undefined) await look(link, link.facts);

  const close = async () => {
    sweeper.close();
    await Promise.all(Array.from(writers.values(), (writer) => writer.whenIdle()));
    outbox.close();
    feed.close();
    unwatch();
    // If this fails, other processes remove it when its lease ends.
    const names = new Set(Array.from(writers.values(), ({ lease }) => lease.name));
    const forgotten = Promise.all(
      Array.from(names, async (name) => name && shutOut(servers, keys, name, false)),
    ).catch(() => {});
    await Promise.race([forgotten, delay(FORGET_MS, undefined, { ref: false })]);
    servers.close();
  };

  return {
    sweep: () => sweeper.sweep(),
    fence: (name) => shutOut(servers, keys, name, true),
    claim: (partition, fence) => outbox.claim(partition, fence),
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
    lifetimes,
    get failure() {
      return servers.isUp ? undefined : unavailable(servers.lastProblem);
    },
    async run(group, commits) {
      assertOpen();
      if (commits.length === 0) return [];
      const authored = mayWriteAuthors() ? commits : commits.map(withoutAuthor);
      const isDeltaReadable = mayWriteDeltas();
      const given = isDeltaReadable ? authored : authored.map(withoutDeltas);
      const count = commits.reduce((sum, { mutations }) => sum + mutations.length, 0);
      if (given.some(hasKey) && !mayUseKeys()) throw unknownYet("idempotency keys");
      if (given.some(endsItems) && !mayUseLifetimes()) throw unknownYet("lifetimes");
      const format = layout.beforeWrite(formatFor(given, isDeltaReadable));
      if (format !== undefined) await format;
      return submit(groupKeyText(group), given, count, bytesOf(commits));
    },
    async broadcast(group, message: Broadcast) {
      assertOpen();
      const given = mayWriteAuthors() ? message : withoutAuthor(message);
      const format = layout.beforeWrite(formatForEvent(given));
      if (format !== undefined) await format;
      await submit(groupKeyText(group), given, 1, message.value.size);
    },
    async get(group, itemId) {
      assertOpen();
      return reads.get(group, itemId);
    },
    async recall(group, idempotency) {
      assertOpen();
      return reads.recall(group, idempotency);
    },
    async heads(groups) {
      assertOpen();
      return reads.heads(groups);
    },
    async list(group, page) {
      assertOpen();
      return reads.list(group, page);
    },
    async snapshot(group, window) {
      assertOpen();
      const reader = reads.snapshot(group, window);
      return {
        ...reader,
        async next(page) {
          assertOpen();
          return reader.next(page);
        },
      };
    },
    async since(group, from, page) {
      assertOpen();
      return reads.since(group, from, page);
    },
    async deltasSince(group, from, page) {
      assertOpen();
      return reads.deltasSince(group, from, page);
    },
    async logRange(group) {
      assertOpen();
      return reads.logRange(group);
    },
    async groups(streamName, page) {
      assertOpen();
      return listing.groups(streamName, page);
    },
    async allGroups(page) {
      assertOpen();
      return listing.allGroups(page);
    },
    async watch(group, listener, onDoubt) {
      assertOpen();
      return feed.watch(group, listener, onDoubt);
    },
    close: () => (closing ??= close()),
  };
}

/** Makes all partitions refuse a writer. @param forGood Whether it can never register again. */
async function shutOut(
  servers: RedisServers,
  keys: RedisKeys,
  name: string,
  forGood: boolean,
): Promise<void> {
  await Promise.all(
    Array.from({ length: keys.partitions }, (_, partition) => {
      const { tag, state, gone } = keys.ofPartition(partition);
      return servers.run(tag, FENCE, [state, gone], [name, forGood ? "1" : "0"], "read");
    }),
  );
}

/** Globally unique names. */
function epochNames(): () => string {
  const start = randomBytes(12).toString("base64url");
  let count = 0;
  return () => `${start}${(count++).toString(36)}`;
}

/** The refusal of commits that need what some process of the fleet does not support. */
function unknownYet(what: string): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    `Not all processes of the service know ${what} yet; the call may be sent again when all have this version.`,
  );
}

function bytesOf(commits: readonly Commit[]): number {
  let bytes = 0;
  for (const { mutations } of commits)
    for (const mutation of mutations) bytes += weightOf(mutation);
  return bytes;
}

/** Upper estimate of a mutation's size without its values. */
const MUTATION_BYTES = 512;

function weightOf(mutation: Mutation): number {
  switch (mutation.kind) {
    case "put":
      return MUTATION_BYTES + mutation.value.size;
    case "reduce":
      return MUTATION_BYTES + mutation.bytes;
    case "delete":
      return MUTATION_BYTES;
    case "record":
      return MUTATION_BYTES + (mutation.after?.size ?? 0) + (mutation.before?.size ?? 0);
  }
}
