import { afterAll, beforeAll } from "vitest";
import { type RedisCluster, startCluster } from "../../support/redis/redis-cluster.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { openStoreAt, randomPrefix } from "../../support/redis/redis-stores.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import type { OpenStore } from "../suite/fixture.ts";
import { describeStore } from "../suite/store.suite.ts";

/** Opens empty stores, each under its own prefix. */
function storesAt(url: () => string, partitions: number): OpenStore {
  return async (request) => {
    const keyPrefix = randomPrefix();
    const { store } = await openStoreAt(url(), { ...request, keyPrefix, partitions });
    return { store, sweep: () => store.sweep(), dispose: () => store.close() };
  };
}

describeWithRedis("on one server,", () => {
  let redis: RedisProcess;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.dispose());
  describeStore(
    "the redis",
    storesAt(() => redis.url, 4),
  );
});

describeWithRedis("on a cluster,", () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.dispose());
  describeStore(
    "the redis",
    storesAt(() => cluster.url, 16),
  );
});

// A server given by the environment: the tests touch only keys under their own prefix.
const own = process.env["REDIS_URL"];
if (own !== undefined && own !== "") {
  describeStore(
    "the redis (REDIS_URL)",
    storesAt(() => own, 4),
  );
}
