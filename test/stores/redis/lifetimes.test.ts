import { afterAll, beforeAll, expect, it } from "vitest";
import { layoutKey } from "../../../src/stores/redis/keys.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { openForTest, randomPrefix } from "../../support/redis/redis-stores.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { commit, contents, groupOf, put, remove, testClock } from "../suite/fixture.ts";
import { expire, mortal } from "../suite/lifetimes.ts";

const group = groupOf("room");

describeWithRedis("lifetimes in Redis", () => {
  let redis: RedisProcess;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(async () => redis.dispose());

  it("are refused while a process of the fleet may not support them, and so are causes", async () => {
    const keyPrefix = randomPrefix();
    let isOldThere = true;
    const mayUseLifetimes = () => !isOldThere;
    const { store } = await openForTest(redis.url, { keyPrefix, mayUseLifetimes });
    const format = async () => redis.command("HGET", layoutKey(keyPrefix).key, "format");
    const refused = { reason: "STORE_UNAVAILABLE", retryable: true };
    const writes = [mortal("a", { ttlMs: 1000 }), mortal("a", { connection: "C" }), expire("b")];
    for (const write of writes)
      await expect(commit(store, group, write)).rejects.toMatchObject(refused);
    await commit(store, group, put("b", 1));
    expect([await contents(store, group), await format()]).toEqual([[["b", 1]], "1"]);
    isOldThere = false;
    await commit(store, group, mortal("a", { ttlMs: 1000 }));
    expect(await format()).toBe("5");
  });

  it("leave nothing in the indexes once their items are deleted or have none", async () => {
    const keyPrefix = randomPrefix();
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 1 });
    for (let i = 0; i < 20; i++)
      await commit(store, group, mortal(`i${i}`, { ttlMs: 1000 * (i + 1), connection: "C" }));
    const indexes = async () => {
      const names = (await redis.command("KEYS", `{${keyPrefix}:0}*`)) as readonly string[];
      return names.map(String).filter((name) => /lifetimes|bound/.test(name));
    };
    expect(await indexes()).toHaveLength(2);
    for (let i = 0; i < 20; i++)
      await commit(store, group, i % 2 === 0 ? remove(`i${i}`) : put(`i${i}`, 1));
    expect(await indexes()).toEqual([]);
  });

  it("are listed in the order of their ends, however they are spread over partitions", async () => {
    const clock = testClock();
    const { store } = await openForTest(redis.url, { keyPrefix: randomPrefix(), clock });
    const start = clock.nowMs;
    // Most of the first ones are in one group, and so in one partition.
    const ends = new Map<string, number>();
    for (let i = 0; i < 100; i++) {
      const [at, ttlMs] = [i < 60 ? group : groupOf(`g${i}`), 1000 + (i < 60 ? i : 10 * i)];
      await commit(store, at, mortal(`i${i}`, { ttlMs }));
      ends.set(`i${i}`, start + ttlMs);
    }
    clock.nowMs += 5000;
    const listed: string[] = [];
    while (listed.length < 100) {
      const found = await store.lifetimes.expired(32);
      expect(found.length).toBeGreaterThan(0);
      for (const { group: of, itemId, expireTimeMs } of found) {
        expect(expireTimeMs).toBe(ends.get(itemId));
        listed.push(itemId);
        await commit(store, of, expire(itemId, { expireTimeMs }));
      }
    }
    expect(listed).toEqual(Array.from({ length: 100 }, (_, i) => `i${i}`));
    expect(await store.lifetimes.expired(32)).toEqual([]);
  });

  it("are listed only for the partitions that the process owns", async () => {
    const clock = testClock();
    const [keyPrefix, owned] = [randomPrefix(), new Set<number>()];
    const owns = (partition: number) => owned.has(partition);
    const { store } = await openForTest(redis.url, { keyPrefix, clock, partitions: 2, owns });
    for (let i = 0; i < 20; i++)
      await commit(store, groupOf(`g${i}`), mortal(`i${i}`, { ttlMs: 1000 }));
    clock.nowMs += 1000;
    const listed = async () => (await store.lifetimes.expired(100)).map(({ itemId }) => itemId);
    expect(await listed()).toEqual([]);
    owned.add(0);
    const some = await listed();
    owned.delete(0);
    owned.add(1);
    const others = await listed();
    expect([...some, ...others].sort()).toEqual(
      Array.from({ length: 20 }, (_, i) => `i${i}`).sort(),
    );
  });
});
