import { type RedisProcess, startRedis } from "./redis-server.ts";

let started: Promise<RedisProcess> | undefined;

/**
 * A server for tests that do not disturb it, started on first use. It ends with the process of the
 * tests. Each test uses its own prefix.
 */
export function sharedRedis(): Promise<RedisProcess> {
  started ??= startRedis();
  return started;
}
