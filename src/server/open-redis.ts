import { createRedisCoordinator } from "../coordinators/redis/redis-coordinator.ts";
import type { Coordinator } from "../core/coordinator.ts";
import type { HistoryOf, HistoryOptions } from "../core/retention.ts";
import type { Store } from "../core/store.ts";
import { REDIS_URL_FORMS, describeTarget, parseRedisUrl } from "../redis/redis-url.ts";
import { RedisServers } from "../redis/redis-servers.ts";
import type { ServerFacts } from "../redis/server-facts.ts";
import {
  type RedisQueueLimits,
  openRedisStore,
  prepareForStore,
} from "../stores/redis/redis-store.ts";

/** Data in Redis, for any number of processes. */
export interface RedisOptions {
  readonly kind: "redis";
  /** URL of Redis. @see REDIS_URL_FORMS */
  readonly url: string;
  /** Prefix of all keys, in braces. Default `millrace`. */
  readonly keyPrefix?: string | undefined;
  /** Replicas that must have a write before it is acknowledged. Default 0. */
  readonly minReplicas?: number | undefined;
  /**
   * How long Redis may take to reply, or be unreachable, before a call fails, in milliseconds.
   * Default 5,000.
   */
  readonly timeoutMs?: number | undefined;
  /** How long to wait for the server when this process starts, in milliseconds. Default 10,000. */
  readonly startTimeoutMs?: number | undefined;
  /**
   * How long this process may be cut off from its fleet before it refuses joins and handshakes, and
   * before the others remove it, in milliseconds. Default 10,000. Must be the same in every
   * process.
   */
  readonly registryTimeoutMs?: number | undefined;
  /** Limits of the writes that are queued for Redis. Absent ones have their defaults. */
  readonly queue?: Partial<RedisQueueLimits> | undefined;
}

/** What groups keep, in a store that the server opens. */
export interface Retention {
  /** How much history a group keeps; absent limits have their defaults. */
  readonly history?: HistoryOptions | undefined;
  /** How long a group remembers idempotency keys, in milliseconds. Default ten minutes. */
  readonly idempotencyWindowMs?: number | undefined;
}

/** What groups keep, with the history of each stream. */
export interface StreamRetention extends Omit<Retention, "history"> {
  readonly history: HistoryOf;
}

/** Logs a message for the operator. */
export type OperatorLog = (
  level: "info" | "warn" | "error",
  message: string,
  details?: Readonly<Record<string, unknown>>,
) => void;

/** Oldest supported version of Redis and of Valkey: the first with sharded pub/sub. */
const OLDEST_VERSION = 7;
const NO_EVICTION = "noeviction";
const START_TIMEOUT_MS = 10_000;
/** Errors of a server that denies access, which no retry cures. */
const ACCESS_DENIED = /^(?:WRONGPASS|NOAUTH|NOPERM)/;
/** Shortest time between two log lines about the same kind of problem, in milliseconds. */
const LOG_INTERVAL_MS = 10_000;

/**
 * Opens the store and the coordinator of a fleet.
 *
 * @throws Error with a sentence for the operator when the server cannot be reached, is too old, or
 *   is set to evict data when its memory is full.
 */
export async function openRedis(
  options: RedisOptions,
  retention: StreamRetention,
  log: OperatorLog,
): Promise<{ readonly store: Store; readonly coordinator: Coordinator }> {
  const target = parseRedisUrl(options.url);
  const { keyPrefix, minReplicas = 0, timeoutMs } = options;
  const onProblem = throttled((error: unknown) => {
    // Failures after the close no longer matter.
    if (!servers.isClosed) log("warn", `Redis: ${sentenceOf(error)}`);
  });
  const servers: RedisServers = new RedisServers({ target, minReplicas, timeoutMs, onProblem });
  prepareForStore(servers);
  let refusal: Error | undefined;
  const greeted = new Set<string>();
  servers.addGreeter(async (link, facts) => {
    const problem = unsuitability(facts);
    refusal = problem === undefined ? undefined : new Error(problem);
    if (refusal !== undefined) throw refusal;
    if (greeted.has(`${link.name} ${facts.runId}`)) return;
    greeted.add(`${link.name} ${facts.runId}`);
    logDurability(link.name, facts, minReplicas, log);
  });
  servers.start();
  let agreed = 0;
  let opened: Store | undefined;
  try {
    const { startTimeoutMs = START_TIMEOUT_MS } = options;
    await firstContact(servers, describeTarget(target), startTimeoutMs, () => refusal);
    const store = await openRedisStore({
      servers,
      keyPrefix,
      ...retention,
      queue: options.queue,
      ready: () => coordinator.ready(),
      agreed: () => agreed,
      mayWriteAuthors: () => coordinator.readsAuthors(),
      mayUseKeys: () => coordinator.knowsKeys(),
      mayUseLifetimes: () => coordinator.knowsLifetimes(),
      owns: (partition) => coordinator.owns(partition),
      mayWriteDeltas: () => coordinator.readsDeltas(),
      onLoss: throttled((partition: number) =>
        log(
          "warn",
          "Redis may have lost acknowledged writes: its groups begin new epochs, and their subscribers get fresh snapshots.",
          { partition },
        ),
      ),
    });
    opened = store;
    const coordinator = await createRedisCoordinator({
      servers,
      keyPrefix: keyPrefix ?? "millrace",
      registryTimeoutMs: options.registryTimeoutMs,
      fence: (member) => store.fence(member),
      claim: (partition, fence) => store.claim(partition, fence),
      onProblem,
    });
    const { registry } = coordinator;
    let before = firingFingerprint(registry);
    registry.watch(() => {
      const now = firingFingerprint(registry);
      if (now !== before) agreed++;
      before = now;
    });
    return { store, coordinator };
  } catch (error) {
    await opened?.close();
    servers.close();
    throw error;
  }
}

/** Why a server cannot be used, as a sentence; undefined when it can. */
function unsuitability({ version, evictionPolicy }: ServerFacts): string | undefined {
  if (Number.parseInt(version, 10) < OLDEST_VERSION)
    return `Redis is version ${version}; it may be ${OLDEST_VERSION} or later (or Valkey).`;
  if (evictionPolicy !== undefined && evictionPolicy !== NO_EVICTION) {
    return (
      `Redis has maxmemory-policy ${evictionPolicy}, which evicts acknowledged data when memory is full; ` +
      `it may be ${NO_EVICTION}.`
    );
  }
  return undefined;
}

/** Logs how durable an acknowledged write is. */
function logDurability(
  name: string,
  facts: ServerFacts,
  minReplicas: number,
  log: OperatorLog,
): void {
  const { version, appendFsync, evictionPolicy, replicaCount } = facts;
  log("info", "connected to Redis", {
    server: name,
    version,
    appendfsync: appendFsync ?? "unknown",
    maxmemoryPolicy: evictionPolicy ?? "unknown",
    replicas: replicaCount,
    minReplicas,
  });
  if (appendFsync !== "always") {
    const found =
      appendFsync === undefined
        ? "does not disclose its appendfsync setting"
        : appendFsync === "off"
          ? "keeps no append-only file"
          : `has appendfsync ${appendFsync}`;
    log(
      "warn",
      `Redis ${found}: acknowledged writes can be lost when it crashes. With appendonly yes and appendfsync always they are not.`,
    );
  }
  if (replicaCount > 0 && minReplicas === 0) {
    log(
      "warn",
      "Redis has replicas, but writes are acknowledged before they are replicated: a failover can lose some. min_replicas makes that less likely.",
    );
  }
}

/**
 * A text that changes when the triggers in force change, or the functions of custom streams: they
 * decide what a write fires, and which store it goes to.
 */
function firingFingerprint(registry: Coordinator["registry"]): string {
  const triggers = registry.triggers().map(({ id }) => id);
  return JSON.stringify([triggers.sort(), Array.from(registry.overrides()).sort()]);
}

/** Waits until the servers are reachable for the first time. */
async function firstContact(
  servers: RedisServers,
  where: string,
  timeoutMs: number,
  refusal: () => Error | undefined,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!servers.isUp) {
    const refused = refusal();
    if (refused !== undefined) throw refused;
    const { lastProblem } = servers;
    const why = lastProblem instanceof Error ? ` (${lastProblem.message})` : "";
    if (lastProblem instanceof Error && ACCESS_DENIED.test(lastProblem.message))
      throw new Error(`Redis at ${where} denies access${why}.`);
    if (performance.now() > deadlineMs) {
      throw new Error(
        `Redis cannot be reached at ${where}${why}; redis_url may be ${REDIS_URL_FORMS}.`,
      );
    }
    await new Promise<void>((resolve) => {
      const stop = servers.watch(resolve);
      setTimeout(() => {
        stop();
        resolve();
      }, 100);
    });
  }
}

/** An error's message, followed by that of its cause, which may help the operator. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** Limits a callback to one call per `LOG_INTERVAL_MS`; further calls are dropped. */
function throttled<T>(callback: (argument: T) => void): (argument: T) => void {
  let lastMs = -LOG_INTERVAL_MS;
  return (argument) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < LOG_INTERVAL_MS) return;
    lastMs = nowMs;
    callback(argument);
  };
}
