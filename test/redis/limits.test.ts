import { expect, it, onTestFinished } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import { Value } from "../../src/core/value.ts";
import { createServer } from "millrace/server";
import { openProxy } from "../support/doors/proxy.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";
import { commit, groupOf, listen, mark, put } from "../stores/suite/fixture.ts";

const group = groupOf("room");

describeWithRedis("a store in Redis", () => {
  it("accepts many large batches at once", async () => {
    const { url } = await sharedRedis();
    const server = await createServer({
      port: 0,
      store: { kind: "redis", url, keyPrefix: randomPrefix() },
    });
    onTestFinished(() => server.close());
    const mutations = Array.from({ length: 1000 }, (_, i) => ({
      set: { itemId: `i${i}`, data: i },
    }));
    const place = { streamName: "stream", groupId: "batches" };
    const done = await Promise.all(
      Array.from({ length: 40 }, () => server.service.batch({ ...place, mutations })),
    );
    expect(Math.max(...done.map(({ position }) => position.revision))).toBe(40_000);
  });

  it("refuses a batch whose values exceed the size of one command, and stays available", async () => {
    const { url } = await sharedRedis();
    const { store } = await openForTest(url, { keyPrefix: randomPrefix() });
    await commit(store, group, put("large", "x".repeat(1_000_000)));
    const mutations = Array.from({ length: 100 }, () => mark("large", ""));
    const [outcome] = await store.run(group, [{ mutations }]);
    expect(outcome).toMatchObject({ ok: false, error: { reason: "VALUE_TOO_LARGE" } });
    // One command each, they are accepted.
    await Promise.all(Array.from({ length: 30 }, () => commit(store, group, mark("large", ""))));
    expect(await store.heads([group])).toMatchObject([{ position: { revision: 31 } }]);
  });

  it("fails an update that always loses to concurrent writes in time, and delays no other call", async () => {
    const redis = await startRedis();
    onTestFinished(async () => redis.dispose());
    const keyPrefix = randomPrefix();
    const near = await openForTest(redis.url, { keyPrefix, partitions: 1 });
    const proxy = await openProxy(redis.port, { delayMs: 25 });
    onTestFinished(() => proxy.close());
    const url = proxy.url.replace("http", "redis");
    const far = await openForTest(url, { keyPrefix, timeoutMs: 1500 });
    await commit(far.store, groupOf("other"), put("x", 0));
    let isOver = false;
    const busy = (async () => {
      while (!isOver) await commit(near.store, group, put("hot", 1));
    })();
    const startMs = performance.now();
    const contended = commit(far.store, group, mark("hot", "x")).then(
      () => "done",
      (error: unknown) => StreamError.from(error).reason,
    );
    await commit(far.store, groupOf("other"), put("x", 1));
    expect(performance.now() - startMs).toBeLessThan(1000);
    const result = await contended;
    expect(performance.now() - startMs).toBeLessThan(3000);
    isOver = true;
    await busy;
    // Either the mark failed on a number, or the store gave up.
    expect(["STORE_UNAVAILABLE", "INTERNAL", "done"]).toContain(result);
  });

  it("does not deliver an event that it refuses", async () => {
    const redis = await startRedis({ args: ["--maxmemory", "3mb"] });
    onTestFinished(async () => redis.dispose());
    const { store } = await openForTest(redis.url, { timeoutMs: 500 });
    const ear = await listen(store, group);
    await commit(store, group, put("a", 1));
    await redis.command("CONFIG", "SET", "maxmemory", "1mb");
    const message = { type: "ping", itemId: undefined, value: Value.of(1) };
    await expect(store.broadcast(group, message)).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
    await redis.command("CONFIG", "SET", "maxmemory", "0");
    await commit(store, group, put("a", 2));
    await ear.received(2);
    expect(ear.events.map(({ kind }) => kind)).toEqual(["change", "change"]);
  });
});
