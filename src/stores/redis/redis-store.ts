import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { StreamError } from "../../core/errors.ts";
import { GroupClock } from "../../core/group-clock.ts";
import { groupKeyText } from "../../core/names.ts";
import { historyOf } from "../../core/retention.ts";
import type { HistoryOptions } from "../../core/retention.ts";
import type { Broadcast, Commit, Mutation, Outcome, Store } from "../../core/store.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import type { RedisLink } from "../../redis/redis-link.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { ServerFacts } from "../../redis/server-facts.ts";
import { createGroupListing } from "./group-listing.ts";
import type { Job } from "./group-work.ts";
import { DEFAULT_PARTITIONS, type RedisKeys, layoutKey, redisKeys } from "./keys.ts";
import { PartitionWriter } from "./partition-writer.ts";
import { createFeed } from "./redis-feed.ts";
import { createRedisOutbox } from "./redis-outbox.ts";
import { createReads } from "./redis-reads.ts";
import { FENCE, SCRIPTS } from "./scripts.ts";
import { createSweeper } from "./sweeper.ts";
import type { WriterContext } from "./writer-context.ts";

/** How a store in Redis is opened. */
export interface RedisStoreOptions {
  /** Where it is. The store closes it. */
  readonly servers: RedisServers;
  /** What the names of all its keys begin with, in braces. Default `millrace`. */
  readonly keyPrefix?: string | undefined;
  /** How much history a group keeps; what is absent has its default. */
  readonly history?: HistoryOptions | undefined;
  /** Bounds of the writes that wait for the server. */
  readonly queue?: Partial<RedisQueueLimits> | undefined;
  /** Wall clock, Unix milliseconds. Default: that of the server, which all processes share. */
  readonly clock?: (() => number) | undefined;
  /** Names a new history; never twice the same. Default: random. */
  readonly newEpoch?: (() => string) | undefined;
  /** How often groups that nobody writes are looked after, in milliseconds. Default 1,000; 0: never. */
  readonly sweepIntervalMs?: number | undefined;
  /** Number of partitions of data that is made now. Default 64. */
  readonly partitions?: number | undefined;
  /** @see WriterContext.ready Default: at once. */
  readonly ready?: (() => Promise<string>) | undefined;
  /** @see WriterContext.agreed Default: nothing ever. */
  readonly agreed?: (() => number) | undefined;
  /** @see WriterContext.onLoss */
  readonly onLoss?: ((partition: number) => void) | undefined;
}

/** How much may wait for the server. */
export interface RedisQueueLimits {
  /** Most commits and events that wait. */
  readonly maxWaiting: number;
  /** Most bytes of values that wait. */
  readonly maxWaitingBytes: number;
}

/** Limits unless told otherwise. */
const DEFAULT_REDIS_QUEUE_LIMITS: RedisQueueLimits = {
  maxWaiting: 100_000,
  maxWaitingBytes: 256 * 1024 * 1024,
};

/** A store in Redis, for the processes of a fleet. */
export interface RedisStore extends Store {
  /** Looks after groups that nobody writes. The store does so by itself, too. */
  sweep(): Promise<void>;
  /** Makes sure that a process can commit nothing more under a name that `ready` gave it. */
  fence(name: string): Promise<void>;
  /** From now on the outbox takes settlements of a partition only under this fence. */
  claim(partition: number, fence: string): Promise<void>;
}

/** How long the server may take to forget a writer that closes, in milliseconds. */
const FORGET_MS = 500;

/** Version of how the data is laid out. Another one is another format. */
const FORMAT = "1";

/** Prepares servers for a store. To be called before they are started. */
export function prepareForStore(servers: RedisServers): void {
  servers.addScripts(...SCRIPTS);
}

/**
 * Opens the store in Redis, or makes it.
 *
 * @throws StreamError STORE_UNAVAILABLE when the server cannot be reached in time; Error when the data
 *   is of another format.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<RedisStore> {
  const { servers } = options;
  const prefix = options.keyPrefix ?? "millrace";
  const keys = redisKeys(prefix, await layoutOf(servers, prefix, options.partitions));
  const history = historyOf(options.history);
  const limits = { ...DEFAULT_REDIS_QUEUE_LIMITS, ...options.queue };
  const { clock } = options;
  const outbox = createRedisOutbox(servers, keys);
  const feed = createFeed(servers, keys);
  const verify = async (partition: number) => {
    const { tag } = keys.ofPartition(partition);
    await servers.attempt(tag, "read", (link) => writerOf(partition).gate.look(link));
  };
  const groupClock = new GroupClock();
  const reads = createReads({ servers, keys, history, clock, groupClock, verify });
  const listing = createGroupListing(servers, keys);
  const sweeper = createSweeper({ servers, keys, history, clock }, options.sweepIntervalMs ?? 1000);
  const context: WriterContext = {
    servers,
    keys,
    history,
    clock,
    groupClock,
    newEpoch: options.newEpoch ?? epochNames(),
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
  const writerOf = (partition: number) => {
    const known = writers.get(partition);
    if (known !== undefined) return known;
    const writer = new PartitionWriter(context, partition);
    writers.set(partition, writer);
    return writer;
  };
  const submit = (
    groupText: string,
    work: Job["work"],
    count: number,
    bytes: number,
  ): Promise<readonly Outcome[]> => {
    if (waiting + count > limits.maxWaiting || waitingBytes + bytes > limits.maxWaitingBytes) {
      throw new StreamError(
        "OVERLOADED",
        "Too many writes wait for the store; the call may be made again later.",
      );
    }
    waiting += count;
    waitingBytes += bytes;
    return new Promise<readonly Outcome[]>((resolve, reject) => {
      const sinceMs = performance.now();
      const agreed = context.agreed();
      const job: Job = {
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

  // A loss is noticed with the connection, by whoever connects first, and not only when somebody writes.
  const look = async (link: RedisLink, facts: ServerFacts) => {
    const looks: Promise<void>[] = [];
    for (let partition = 0; partition < keys.partitions; partition++) {
      const { tag } = keys.ofPartition(partition);
      if (servers.serves(link, tag)) looks.push(writerOf(partition).gate.look(link, facts));
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
    // Others forget it, too, when its lease ends.
    const names = new Set(Array.from(writers.values(), ({ gate }) => gate.name));
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
    get failure() {
      return servers.isUp ? undefined : unavailable(servers.lastProblem);
    },
    async run(group, commits) {
      assertOpen();
      if (commits.length === 0) return [];
      const count = commits.reduce((sum, { mutations }) => sum + mutations.length, 0);
      return submit(groupKeyText(group), commits, count, bytesOf(commits));
    },
    async broadcast(group, message: Broadcast) {
      assertOpen();
      await submit(groupKeyText(group), message, 1, message.value.size);
    },
    async get(group, itemId) {
      assertOpen();
      return reads.get(group, itemId);
    },
    async heads(groups) {
      assertOpen();
      return reads.heads(groups);
    },
    async list(group, page) {
      assertOpen();
      return reads.list(group, page);
    },
    async snapshot(group) {
      assertOpen();
      const reader = reads.snapshot(group);
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

/** Number of partitions of the data: that with which it was made. */
async function layoutOf(
  servers: RedisServers,
  prefix: string,
  partitions = DEFAULT_PARTITIONS,
): Promise<number> {
  const { tag, key } = layoutKey(prefix);
  // Repeating either changes nothing.
  await servers.send(tag, ["HSETNX", key, "format", FORMAT], "read");
  await servers.send(tag, ["HSETNX", key, "partitions", String(partitions)], "read");
  const reply = await servers.send(tag, ["HMGET", key, "format", "partitions"], "read");
  const [format, count] = (reply as unknown[]).map(String);
  if (format !== FORMAT) {
    throw new Error(
      `The data in Redis under the key prefix ${prefix} has the format ${format}; this version reads ${FORMAT}. ` +
        "key_prefix may be another one, for new data.",
    );
  }
  return Number(count);
}

/** Has all partitions refuse a writer. @param forGood Whether it is not let in again either. */
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

/** Names that are never made again, here or elsewhere. */
function epochNames(): () => string {
  const start = randomBytes(12).toString("base64url");
  let count = 0;
  return () => `${start}${(count++).toString(36)}`;
}

function bytesOf(commits: readonly Commit[]): number {
  let bytes = 0;
  for (const { mutations } of commits)
    for (const mutation of mutations) bytes += weightOf(mutation);
  return bytes;
}

/** More than a mutation takes beside its values. */
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
