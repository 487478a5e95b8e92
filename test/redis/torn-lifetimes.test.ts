import { expect, it } from "vitest";
import { endBoundItems } from "../../src/lifetimes/bound-items.ts";
import { startExpiry } from "../../src/lifetimes/expiry.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { keyCopies } from "../support/redis/torn-copy.ts";
import { ALL, commit, contents, groupOf, put, testClock } from "../stores/suite/fixture.ts";
import { mortal } from "../stores/suite/lifetimes.ts";

const group = groupOf("room");
const INDEXES = ["lifetimes", "bound"] as const;

async function scene() {
  const redis = await sharedRedis();
  const keyPrefix = randomPrefix();
  const clock = testClock();
  const { store } = await openForTest(redis.url, { keyPrefix, partitions: 1, clock });
  const copies = keyCopies(redis, keyPrefix, group);
  const ending = { store, firing: () => undefined };
  const expiry = startExpiry({
    ...ending,
    intervalMs: 3_600_000,
    onProblem(error) {
      throw error;
    },
  });
  const sizeOf = async (name: (typeof INDEXES)[number]) =>
    redis.command("ZCARD", copies.keyOf(name));
  return { store, clock, copies, ending, expiry, sizeOf };
}

describeWithRedis("a copy with indexes of lifetimes from another time than its items", () => {
  it("ends items that an older index lacks, once their group has been written", async () => {
    const { store, clock, copies, ending, expiry } = await scene();
    await commit(store, group, put("a", 1));
    await copies.take("early");
    await commit(store, group, mortal("b", { ttlMs: 1000 }), mortal("c", { connection: "C" }));
    await copies.take("late");
    clock.nowMs += 10;
    await copies.flush();
    await copies.restore("late");
    await copies.restore("early", INDEXES);
    await commit(store, group, put("d", 1));
    clock.nowMs += 2000;
    await expiry.sweep();
    await endBoundItems("C", ending);
    expect(await contents(store, group)).toEqual([
      ["a", 1],
      ["d", 1],
    ]);
  });

  it("forgets entries whose items are deleted or have other lifetimes, and ends the items after them", async () => {
    const { store, clock, copies, ending, expiry, sizeOf } = await scene();
    const many = Array.from({ length: 600 }, (_, i) => mortal(`m${i}`, { ttlMs: 1000 }));
    await commit(store, group, put("a", 1), put("b", 1));
    await copies.take("early");
    await commit(store, group, ...many, mortal("a", { ttlMs: 1000, connection: "C" }));
    await copies.take("late");
    clock.nowMs += 10;
    await copies.flush();
    await copies.restore("early");
    await copies.restore("late", INDEXES);
    await commit(store, group, mortal("b", { ttlMs: 2000 }));
    clock.nowMs += 3000;
    // A sweep that ends nothing leaves the rest to the next one.
    for (let sweep = 0; sweep < 4; sweep++) await expiry.sweep();
    await endBoundItems("C", ending);
    expect(await contents(store, group)).toEqual([["a", 1]]);
    expect([await sizeOf("lifetimes"), await sizeOf("bound")]).toEqual([0, 0]);
    expect((await store.list(group, ALL)).items).toHaveLength(1);
  });
});
