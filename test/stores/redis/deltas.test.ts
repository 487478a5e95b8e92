import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ChangeEvent } from "../../../src/core/change.ts";
import { Delta } from "../../../src/core/delta.ts";
import type { History, Store } from "../../../src/core/store.ts";
import { layoutKey, redisKeys } from "../../../src/stores/redis/keys.ts";
import { op } from "../../core/op-builders.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { openForTest, openStoreAt, randomPrefix } from "../../support/redis/redis-stores.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { anyCommits, expectLog, update } from "../suite/deltas.ts";
import { commit, groupOf, listen, put, testClock } from "../suite/fixture.ts";

const group = groupOf("room");
const LONG = { text: "x".repeat(400) };
const append = op.append(["text"], "y");

describeWithRedis("deltas in a redis store", () => {
  let redis: RedisProcess;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.dispose());

  /** Where a prefix has the log of the group, and the format of the data. */
  const placeOf = (keyPrefix: string) => {
    const { log } = redisKeys(keyPrefix, 1).ofGroup(0, "stream\u0000room");
    return {
      length: async () => Number(await redis.command("LLEN", log)),
      bytes: async () => {
        const entries = (await redis.command("LRANGE", log, 0, -1)) as readonly string[];
        return entries.reduce((sum, { length }) => sum + length, 0);
      },
      format: async () => redis.command("HGET", layoutKey(keyPrefix).key, "format"),
    };
  };

  it("are read by every process, whichever wrote them and wherever the log is trimmed (G4)", async () => {
    const limits: fc.Arbitrary<Partial<History>> = fc.record({
      maxChanges: fc.constantFrom(1, 3, 10, 1000),
      maxBytes: fc.constantFrom(300, 1_000_000),
    });
    await fc.assert(
      fc.asyncProperty(limits, anyCommits, async (history, commits) => {
        const keyPrefix = randomPrefix();
        const options = { keyPrefix, partitions: 1, history, clock: testClock() };
        const open = async () => (await openStoreAt(redis.url, options)).store;
        const stores = [await open(), await open()] as const;
        const { events, received } = await listen(stores[0], group);
        let revision = 0;
        for (const [index, mutations] of commits.entries()) {
          const done = await commit(stores[index % 2] as Store, group, ...mutations);
          revision = done.position.revision;
        }
        await received(revision);
        for (const store of stores) await expectLog(store, group, events as ChangeEvent[]);
        const length = await placeOf(keyPrefix).length();
        // A commit may leave the log longer until it is trimmed.
        expect(length).toBeLessThanOrEqual(3 * ((history.maxChanges ?? 0) + 5));
        await Promise.all(stores.map((store) => store.close()));
      }),
      { numRuns: 15 },
    );
  });

  it("of updates that processes make at once have the right bases", async () => {
    const options = { keyPrefix: randomPrefix(), partitions: 1 };
    const stores = [
      (await openForTest(redis.url, options)).store,
      (await openForTest(redis.url, options)).store,
    ];
    const { events, received } = await listen(stores[0]!, group);
    await commit(stores[0]!, group, put("a", LONG), put("b", LONG));
    await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        commit(
          stores[i % 2]!,
          group,
          update(i % 3 === 0 ? "a" : "b", append),
          update("a", op.increment("n", i)),
        ),
      ),
    );
    await received(122);
    const changes = events as readonly ChangeEvent[];
    expect(changes.filter(({ delta }) => delta !== undefined).length).toBe(120);
    for (const store of stores) await expectLog(store, group, changes, undefined, 7);
  });

  it("do not keep a base that is far larger than the value", async () => {
    const keyPrefix = randomPrefix();
    const place = placeOf(keyPrefix);
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 1 });
    const rest = "y".repeat(400);
    await commit(store, group, put("a", { text: "x".repeat(10_000), rest }));
    const bytes = await place.bytes();
    await commit(store, group, update("a", op.remove("text")));
    expect((await place.bytes()) - bytes).toBeGreaterThan(rest.length);
  });

  it("and their bases are removed when the log is empty", async () => {
    const keyPrefix = randomPrefix();
    const clock = testClock();
    const options = { keyPrefix, partitions: 1, clock, history: { maxAgeMs: 1000 } };
    const { store } = await openForTest(redis.url, options);
    await commit(store, group, put("a", LONG));
    for (let i = 0; i < 10; i++) {
      await commit(store, group, update("a", append));
      clock.nowMs += 150;
    }
    expect(await placeOf(keyPrefix).length()).toBeGreaterThan(7);
    clock.nowMs += 2000;
    await store.sweep();
    expect(await placeOf(keyPrefix).length()).toBe(0);
    await commit(store, group, update("a", append));
    expect(await placeOf(keyPrefix).length()).toBe(1);
  });

  it("are not written while a process of the fleet may not read them", async () => {
    const keyPrefix = randomPrefix();
    const place = placeOf(keyPrefix);
    let isOldThere = true;
    const { store } = await openForTest(redis.url, {
      ...{ keyPrefix, partitions: 1 },
      mayWriteDeltas: () => !isOldThere,
    });
    const { events, received } = await listen(store, group);
    await commit(store, group, put("a", LONG), update("a", append));
    expect(await place.format()).toBe("1");
    const bytes = await place.bytes();
    isOldThere = false;
    await commit(store, group, update("a", append));
    expect(await place.format()).toBe("3");
    expect((await place.bytes()) - bytes).toBeLessThan(150);
    isOldThere = true;
    await commit(store, group, update("a", append));
    await received(4);
    const changes = events as readonly ChangeEvent[];
    expect(changes.map(({ delta }) => delta?.baseRevision)).toEqual([
      ...[undefined, undefined, 2, undefined],
    ]);
    await expectLog(store, group, changes);
  });

  it("cost the log at most 6 times what the steps of 4,000 appends take", async () => {
    const keyPrefix = randomPrefix();
    const history = { maxChanges: 10_000 };
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 1, history });
    await commit(store, group, put("a", {}));
    let ops = 0;
    for (let i = 0; i < 4000; i += 100) {
      const updates = Array.from({ length: 100 }, (_, k) => {
        const each = op.append(["text"], String(i + k).padStart(6, "0"));
        ops += Delta.of(i + k + 1, [each]).size;
        return update("a", each);
      });
      await commit(store, group, ...updates);
    }
    expect(await placeOf(keyPrefix).length()).toBe(4001);
    expect((await placeOf(keyPrefix).bytes()) / ops).toBeLessThan(6);
  });
});
