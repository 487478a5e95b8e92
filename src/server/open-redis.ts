import { createRedisCoordinator } from "../coordinators/redis/redis-coordinator.ts";
import type { Coordinator } from "../core/coordinator.ts";
import type { History, Store } from "../core/store.ts";
import { REDIS_URL_FORMS, describeTarget, parseRedisUrl } from "../redis/redis-url.ts";
import { RedisServers } from "../redis/redis-servers.ts";
import type { ServerFacts } from "../redis/server-facts.ts";
import {
  type RedisQueueLimits,
  openRedisStore,
  prepareForStore,
} from "../stores/redis/redis-store.ts";

/** Data in Redis, for any number of processes. */
export interface RedisStoreOptions {
  readonly kind: "redis";
  /** Where it is. @see REDIS_URL_FORMS */
  readonly url: string;
  /** What the names of all keys begin with, in braces. Default `millrace`. */
  readonly keyPrefix?: string | undefined;
  /** Replicas that must have a write before it is acknowledged. Default 0. */
  readonly minReplicas?: number | undefined;
  /** Longest time that an answer may take, or the server may be away, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number | undefined;
  /** How long to wait for the server when this process starts, in milliseconds. Default 10,000. */
  readonly startTimeoutMs?: number | undefined;
  /**
   * How long this process may be cut off from the others before it refuses joins and handshakes, and
   * before they take it for gone, in milliseconds. Default 10,000. The same at every process.
   */
  readonly registryTimeoutMs?: number | undefined;
  /** Bounds of the writes that wait for the server; what is absent has its default. */
  readonly queue?: Partial<RedisQueueLimits> | undefined;
}

/** Tells the operator something. */
export type Teller = (
  level: "info" | "warn" | "error",
  message: string,
  details?: Readonly<Record<string, unknown>>,
) => void;

/** The oldest version of each kind of server that will do: sharded pub/sub begins there. */
const OLDEST_VERSION = 7;
const NO_EVICTION = "noeviction";
const START_TIMEOUT_MS = 10_000;
/** What a server says to those whom it will not let in, however long they wait. */
const NOT_LET_IN = /^(?:WRONGPASS|NOAUTH|NOPERM)/;
/** How often the same kind of trouble is told, in milliseconds. */
const TELL_AGAIN_MS = 10_000;

/**
 * Opens the store and the coordinator of a fleet.
 *
 * @throws Error with a sentence for the operator when the server cannot be reached, is too old, or is
 *   set to throw away data when its memory is full.
 */
export async function openRedis(
  options: RedisStoreOptions,
  history: Partial<History>,
  tell: Teller,
): Promise<{ readonly store: Store; readonly coordinator: Coordinator }> {
  const target = parseRedisUrl(options.url);
  const { keyPrefix, minReplicas = 0, timeoutMs } = options;
  const onProblem = seldom((error: unknown) => {
    // Whatever comes when it is over is nobody's concern any more.
    if (!servers.isClosed) tell("warn", `Redis: ${sentenceOf(error)}`);
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
    report(link.name, facts, minReplicas, tell);
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
      history,
      queue: options.queue,
      ready: () => coordinator.ready(),
      agreed: () => agreed,
      onLoss: seldom((partition: number) =>
        tell(
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
    let before = whatIsFired(registry);
    registry.watch(() => {
      const now = whatIsFired(registry);
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

/** Why a server will not do; undefined: it will. */
function unsuitability({ version, evictionPolicy }: ServerFacts): string | undefined {
  if (Number.parseInt(version, 10) < OLDEST_VERSION)
    return `Redis is version ${version}; it may be ${OLDEST_VERSION} or later (or Valkey).`;
  if (evictionPolicy !== undefined && evictionPolicy !== NO_EVICTION) {
    return (
      `Redis has maxmemory-policy ${evictionPolicy}, which throws away acknowledged data when memory is full; ` +
      `it may be ${NO_EVICTION}.`
    );
  }
  return undefined;
}

/** Tells how durable an acknowledgement is. */
function report(name: string, facts: ServerFacts, minReplicas: number, tell: Teller): void {
  const { version, appendFsync, evictionPolicy, replicaCount } = facts;
  tell("info", "connected to Redis", {
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
        ? "does not tell its appendfsync setting"
        : appendFsync === "off"
          ? "keeps no append-only file"
          : `has appendfsync ${appendFsync}`;
    tell(
      "warn",
      `Redis ${found}: writes that were acknowledged can be lost when it crashes. With appendonly yes and appendfsync always they are not.`,
    );
  }
  if (replicaCount > 0 && minReplicas === 0) {
    tell(
      "warn",
      "Redis has replicas, and writes are acknowledged before they have them: a failover can lose some. min_replicas makes that less likely.",
    );
  }
}

/** What decides what a write sets off, and where it goes: the same text as long as that is the same. */
function whatIsFired(registry: Coordinator["registry"]): string {
  const triggers = registry.triggers().map(({ id }) => id);
  return JSON.stringify([triggers.sort(), Array.from(registry.overrides()).sort()]);
}

/** Waits until the servers are there for the first time. */
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
    if (lastProblem instanceof Error && NOT_LET_IN.test(lastProblem.message))
      throw new Error(`Redis at ${where} does not let the service in${why}.`);
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

/** What went wrong, with what the driver says of it: the operator may know. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

/** Tells now, and then not again for a while. */
function seldom<T>(tellIt: (what: T) => void): (what: T) => void {
  let lastMs = -TELL_AGAIN_MS;
  return (what) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < TELL_AGAIN_MS) return;
    lastMs = nowMs;
    tellIt(what);
  };
}
