import { randomUUID } from "node:crypto";
import { onTestFinished } from "vitest";
import { RedisServers, type RedisServersOptions } from "../../../src/redis/redis-servers.ts";
import { parseRedisUrl } from "../../../src/redis/redis-url.ts";
import {
  type RedisStore,
  type RedisStoreOptions,
  openRedisStore,
  prepareForStore,
} from "../../../src/stores/redis/redis-store.ts";

/** Options of a test's store. */
export interface RedisStoreRequest
  extends Omit<RedisStoreOptions, "servers">, Omit<RedisServersOptions, "target"> {}

/** A store, with its connections. */
export interface OpenedRedisStore {
  readonly store: RedisStore;
  readonly servers: RedisServers;
}

/** A unique prefix. */
export function randomPrefix(): string {
  return `test-${randomUUID()}`;
}

/** Opens a store like a separate process. The caller closes it. */
export async function openStoreAt(
  url: string,
  { minReplicas, timeoutMs, onProblem, ...options }: RedisStoreRequest = {},
): Promise<OpenedRedisStore> {
  const servers = new RedisServers({
    target: parseRedisUrl(url),
    minReplicas,
    timeoutMs,
    onProblem,
  });
  prepareForStore(servers);
  servers.start();
  try {
    const store = await openRedisStore({ sweepIntervalMs: 0, ...options, servers });
    return { store, servers };
  } catch (error) {
    servers.close();
    throw error;
  }
}

/** Opens a store that is closed when the test ends. */
export async function openForTest(
  url: string,
  request: RedisStoreRequest = {},
): Promise<OpenedRedisStore> {
  const opened = await openStoreAt(url, request);
  onTestFinished(() => opened.store.close());
  return opened;
}
