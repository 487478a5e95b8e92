import { type RedisProcess, startRedis } from "./redis-server.ts";

let started: Promise<RedisProcess> | undefined;

/**
 * A server for tests that need one and do nothing to it, started with the first that asks. It ends with
 * the process of the tests. Who uses it keeps to a prefix of their own.
 */
export function sharedRedis(): Promise<RedisProcess> {
  started ??= startRedis();
  return started;
}
