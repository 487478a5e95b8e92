import { expect, it, onTestFinished } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { UpdateOp } from "../../src/core/ops.ts";
import { reduce } from "../../src/core/reduce.ts";
import type { Mutation } from "../../src/core/store.ts";
import { openProxy } from "../support/doors/proxy.ts";
import { random as randomOf } from "../support/random.ts";
import { follow } from "../support/redis/follow.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { LONG, seedOfRun } from "../support/long/violations.ts";
import { commit, groupOf, put } from "../stores/suite/fixture.ts";

const group = groupOf("room");

/** Increments an item, as Update does. */
function increment(itemId: string): Mutation {
  const ops: readonly UpdateOp[] = [{ type: "increment", path: "n", by: 1 }];
  return { kind: "reduce", itemId, bytes: 64, reduce: (current) => reduce(current, ops) };
}

describeWithRedis("processes that share a Redis", () => {
  it("count exactly: 8 writers at 2 processes increment one counter", async () => {
    const redis = await startRedis();
    onTestFinished(async () => redis.dispose());
    const keyPrefix = randomPrefix();
    const stores = [
      (await openForTest(redis.url, { keyPrefix })).store,
      (await openForTest(redis.url, { keyPrefix })).store,
    ];
    const total = LONG ? 10_000 : 2000;
    const startMs = performance.now();
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      const store = stores[writer % 2]!;
      for (let i = 0; i < total / 8; i++) await commit(store, group, increment("counter"));
    });
    await Promise.all(writers);
    const perSecond = Math.round((total / (performance.now() - startMs)) * 1000);
    console.info(`8 writers at 2 processes, one counter: ${total} increments, ${perSecond}/s`);
    const { item } = await stores[0]!.get(group, "counter");
    expect(item?.value.json()).toEqual({ n: total });
    expect(item?.revision).toBe(total);
  });

  it("lose and repeat nothing while connections are cut (G2, G3)", async () => {
    const seed = seedOfRun();
    const random = randomOf(seed);
    const redis = await startRedis();
    onTestFinished(async () => redis.dispose());
    const proxies = await Promise.all([openProxy(redis.port), openProxy(redis.port)]);
    onTestFinished(async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))));
    const keyPrefix = randomPrefix();
    const stores = await Promise.all(
      proxies.map(
        async ({ url }) =>
          (await openForTest(url.replace("http", "redis"), { keyPrefix, timeoutMs: 3000 })).store,
      ),
    );
    const followers = await Promise.all(stores.map((store) => follow(store, group)));
    let running = true;
    const tally = { done: 0, unknown: 0, refused: 0 };
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      while (running) {
        await commit(stores[writer % 2]!, group, increment("counter")).then(
          () => tally.done++,
          (error: unknown) =>
            StreamError.from(error).reason === "OUTCOME_UNKNOWN"
              ? tally.unknown++
              : tally.refused++,
        );
      }
    });
    const endMs = performance.now() + (LONG ? 30_000 : 3000);
    while (performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 20 + random.below(200)));
      proxies[random.below(2)]?.cut();
    }
    running = false;
    await Promise.all(writers);
    const { item, position } = await stores[0]!.get(group, "counter");
    const { n } = (item?.value.json() ?? { n: 0 }) as { n: number };
    expect(n, `seed ${seed}`).toBeGreaterThanOrEqual(tally.done);
    expect(n, `seed ${seed}`).toBeLessThanOrEqual(tally.done + tally.unknown);
    expect(position.revision).toBe(n);
    console.info(`connections cut: ${JSON.stringify(tally)}, counter ${n} (seed ${seed})`);
    await commit(stores[1]!, group, put("end", 1));
    for (const follower of followers) {
      await follower.until(() => follower.state().has("end"));
      const revisions = follower.frames.flatMap((frame) =>
        frame.kind === "change" ? [frame.position.revision] : [],
      );
      // All events, once and in order, without a second snapshot.
      expect(follower.frames.filter(({ kind }) => kind === "sync")).toHaveLength(1);
      expect(revisions).toEqual(Array.from({ length: n + 1 }, (_, i) => i + 1));
    }
  });
});
