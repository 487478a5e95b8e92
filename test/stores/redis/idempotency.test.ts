import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import type { Committed, Store } from "../../../src/core/store.ts";
import { layoutKey } from "../../../src/stores/redis/keys.ts";
import { openProxy } from "../../support/doors/proxy.ts";
import { startSentinels } from "../../support/redis/redis-sentinel.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { openForTest, openStoreAt, randomPrefix } from "../../support/redis/redis-stores.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import {
  changesSince,
  commit,
  contents,
  groupOf,
  mark,
  put,
  remove,
  testClock,
} from "../suite/fixture.ts";
import { commitOnce, once, repetitionOf } from "../suite/idempotency.ts";

const group = groupOf("room");
const WINDOW = 600_000;

/** Repeats a call, as clients do when its outcome is unknown, until it is not. */
async function untilKnown(call: () => Promise<Committed>): Promise<Committed> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const { reason } = StreamError.from(error);
      const isPassing = reason === "OUTCOME_UNKNOWN" || reason === "STORE_UNAVAILABLE";
      if (!isPassing || performance.now() > endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describeWithRedis("idempotency keys in a redis store", () => {
  let redis: RedisProcess;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.dispose());

  it("are remembered by every process, and after all of them have gone (G6)", async () => {
    const keyPrefix = randomPrefix();
    const [first, second] = [
      await openStoreAt(redis.url, { keyPrefix }),
      await openStoreAt(redis.url, { keyPrefix }),
    ];
    const written = await commitOnce(first.store, once("k"), [put("a", 1), mark("b", "x")]);
    const again = async (store: Store) => commitOnce(store, once("k"), [put("a", 2)]);
    expect(await again(second.store)).toEqual(repetitionOf(written));
    await Promise.all([first.store.close(), second.store.close()]);
    const { store: third } = await openForTest(redis.url, { keyPrefix });
    expect(await again(third)).toEqual(repetitionOf(written));
    expect(await third.recall?.(group, once("k"))).toMatchObject({ position: written.position });
  });

  it.each([
    ["puts", (i: number) => put("a", i)],
    ["reduces", (i: number) => mark("a", `${i} `)],
  ])("let one of equal %s at two processes at the same time take effect (G1)", async (_, write) => {
    const keyPrefix = randomPrefix();
    const stores = [
      (await openForTest(redis.url, { keyPrefix })).store,
      (await openForTest(redis.url, { keyPrefix })).store,
    ];
    const rounds = 100;
    for (let i = 0; i < rounds; i++) {
      const outcomes = await Promise.all([
        ...Array.from({ length: 6 }, async (_unused, n) =>
          commitOnce(stores[n % 2]!, once(`k${i}`), [write(i)]),
        ),
        // Another write changes the item on which reduces are decided.
        commit(stores[i % 2]!, group, mark("a2", "x")),
      ]);
      const keyed = outcomes.slice(0, 6);
      const done = keyed.filter(({ deduplicated }) => deduplicated !== true);
      expect(done).toHaveLength(1);
      for (const { position } of keyed) expect(position).toEqual(done[0]?.position);
    }
    const changes = await changesSince(stores[0]!, group, 0);
    if (changes === "lost") throw new Error("The log is lost.");
    expect(changes.filter(({ itemId }) => itemId === "a")).toHaveLength(rounds);
  });

  it("make the repetition of a write safe whose reply was lost (G1)", async () => {
    const keyPrefix = randomPrefix();
    const proxy = await openProxy(redis.port);
    onTestFinished(async () => proxy.close());
    const url = proxy.url.replace("http", "redis");
    const { store } = await openForTest(url, { keyPrefix, timeoutMs: 2000 });
    const { store: other } = await openForTest(redis.url, { keyPrefix });
    const rounds = 8;
    for (let i = 0; i < rounds; i++) {
      const write = async () => commitOnce(store, once(`k${i}`), [put("a", i)]);
      // The writer verifies itself anew over each connection, which takes replies.
      const before = async () => commitOnce(store, once(`before${i}`), [put("before", i)]);
      await untilKnown(before);
      proxy.stall();
      const lost = write().then(
        () => "done",
        (error: unknown) => StreamError.from(error).reason,
      );
      await expect
        .poll(async () => other.recall?.(group, once(`k${i}`)), { interval: 5 })
        .toBeDefined();
      proxy.cut();
      expect(await lost).toBe("OUTCOME_UNKNOWN");
      const { position } = (await other.heads([group]))[0] ?? {};
      expect(await untilKnown(write)).toMatchObject({ deduplicated: true, position });
    }
    expect((await other.heads([group]))[0]?.position.revision).toBe(2 * rounds);
  });

  it("leave nothing at the server once they are forgotten", async () => {
    const keyPrefix = randomPrefix();
    const clock = testClock();
    const history = { maxAgeMs: 1000 };
    const options = { keyPrefix, partitions: 1, clock, history };
    const { store } = await openForTest(redis.url, options);
    const hashes = async () => {
      const found = (await redis.command("KEYS", `{${keyPrefix}:*}*k:*`)) as readonly string[];
      const fields = found.map(async (each) => Number(await redis.command("HLEN", each)));
      return Promise.all(fields);
    };
    await commit(store, group, put("a", 1));
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 50; i++) await commitOnce(store, once(`k${i}`), [mark("b", "x")]);
      await commitOnce(store, once("k"), [remove("none")], {}, groupOf(`only${round}`));
      clock.nowMs += WINDOW;
    }
    expect((await hashes()).length).toBeGreaterThan(0);
    clock.nowMs += WINDOW;
    for (let i = 0; i < 10; i++) await store.sweep();
    expect(await hashes()).toEqual([]);
    const heads = (await redis.command("KEYS", `{${keyPrefix}:*}*only*`)) as readonly string[];
    expect(heads).toEqual([]);
  });

  it("are refused while a process of the fleet may not know them", async () => {
    const keyPrefix = randomPrefix();
    let isOldThere = true;
    const { store } = await openForTest(redis.url, { keyPrefix, mayUseKeys: () => !isOldThere });
    const format = async () => redis.command("HGET", layoutKey(keyPrefix).key, "format");
    await expect(commitOnce(store, once("k"), [put("a", 1)])).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      retryable: true,
    });
    await commit(store, group, put("b", 1));
    expect([await contents(store, group), await format()]).toEqual([[["b", 1]], "1"]);
    isOldThere = false;
    await commitOnce(store, once("k"), [put("a", 1)]);
    expect(await format()).toBe("4");
  });
});

describeWithRedis("idempotency keys after a failover", () => {
  it("are remembered with their commits, or lost with them (G1)", async () => {
    const trio = await startSentinels();
    onTestFinished(async () => trio.dispose());
    const { store } = await openForTest(trio.url, { timeoutMs: 2000 });
    const kept = await commitOnce(store, once("kept"), [mark("a", "kept ")]);
    await trio.master.command("WAIT", 1, 5000);
    // The replica is paused: it never receives the writes that are acknowledged now.
    trio.replica.pause();
    await trio.master.command("CLIENT", "KILL", "TYPE", "replica");
    await commitOnce(store, once("lost"), [mark("a", "lost ")]);
    await trio.master.kill();
    trio.replica.resume();
    const again = await untilKnown(async () =>
      commitOnce(store, once("kept"), [mark("a", "kept ")]),
    );
    expect(again).toEqual(repetitionOf(kept));
    const lost = await commitOnce(store, once("lost"), [mark("a", "lost ")]);
    expect(lost.deduplicated).toBeUndefined();
    expect(await contents(store, group)).toEqual([["a", "kept lost "]]);
  }, 40_000);
});
