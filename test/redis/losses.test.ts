import { expect, it, onTestFinished } from "vitest";
import type { OutboxHead } from "../../src/core/outbox.ts";
import { type RedisOptions, startRedis } from "../support/redis/redis-server.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { commit, groupOf, put } from "../stores/suite/fixture.ts";
import { firing, waitingOf } from "../stores/suite/outbox.ts";

const group = groupOf("room");

async function redisFor(options: RedisOptions) {
  const redis = await startRedis(options);
  onTestFinished(async () => redis.dispose());
  return redis;
}

async function eventually<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describeWithRedis("a loss of data in Redis", () => {
  it("does not reuse sequence numbers of the outbox; new entries are delivered and settled", async () => {
    const redis = await redisFor({});
    const { store } = await openForTest(redis.url, { partitions: 1 });
    const received: OutboxHead[] = [];
    let wake = () => {};
    const unwatch = store.outbox.watch(0, (heads) => {
      received.push(...heads);
      wake();
    });
    onTestFinished(unwatch);
    const untilReceived = async (count: number) => {
      while (received.length < count) await new Promise<void>((resolve) => (wake = resolve));
    };
    await store.claim(0, "1-me");
    for (let i = 0; i < 3; i++) await commit(store, group, firing(put("a", i), "t"));
    await untilReceived(3);
    await redis.restart();
    await eventually(() => commit(store, group, firing(put("a", "new"), "t")));
    await untilReceived(4);
    const last = received.at(-1)!;
    expect(last.seq).toBeGreaterThan(received[2]!.seq);
    expect((await store.outbox.read(0, last.seq))?.event.value.json()).toBe("new");
    await store.outbox.settle(0, [{ seq: last.seq, triggers: ["t"], complete: true }], "1-me");
    expect((await waitingOf(store, group)).heads).toEqual([]);
  });

  it("begins one new epoch, however many processes notice it", async () => {
    const redis = await redisFor({ appendfsync: "everysec" });
    const keyPrefix = randomPrefix();
    const stores = await Promise.all(
      [1, 2, 3].map(async () => (await openForTest(redis.url, { keyPrefix })).store),
    );
    for (const store of stores) await commit(store, group, put("a", 1));
    // The last write is lost, as if it had not been flushed.
    await redis.command("CONFIG", "SET", "appendonly", "no");
    for (const store of stores) await commit(store, group, put("a", "lost"));
    await redis.restart();
    const epochs = new Set<string>();
    for (const store of stores) {
      const { position } = await eventually(() => commit(store, group, put("b", 1)));
      epochs.add(position.epoch);
    }
    expect(epochs.size).toBe(1);
  });

  it("is detected by the first process to connect, even without writes", async () => {
    const master = await redisFor({ appendfsync: "always" });
    const keyPrefix = randomPrefix();
    const { store } = await openForTest(master.url, { keyPrefix, partitions: 2 });
    const { position } = await commit(store, group, put("a", 1));
    const replica = await redisFor({ appendfsync: "always", replicaOf: master });
    await expect
      .poll(async () => String(await replica.command("INFO", "replication")))
      .toContain("master_link_status:up");
    // The replica also flushes to disk.
    await expect
      .poll(async () => String(await replica.command("INFO", "persistence")))
      .toMatch(
        /aof_rewrite_in_progress:0[^]*aof_rewrite_scheduled:0[^]*aof_last_bgrewrite_status:ok/,
      );
    await replica.command("REPLICAOF", "NO", "ONE");
    await replica.command("CONFIG", "REWRITE");
    await openForTest(replica.url, { keyPrefix });
    // A restart resets its history as a replica.
    await replica.restart();
    const { store: later } = await openForTest(replica.url, { keyPrefix });
    const { position: after } = await commit(later, group, put("a", 2));
    expect(after.revision).toBe(2);
    expect(after.epoch).not.toBe(position.epoch);
  });

  it("can be declared after a restore: without the field run, groups begin new epochs", async () => {
    const redis = await redisFor({ appendfsync: "always" });
    const keyPrefix = randomPrefix();
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 2 });
    const { position } = await commit(store, group, put("a", 1));
    await store.close();
    for (const partition of [0, 1])
      await redis.command("HDEL", `{${keyPrefix}:${partition}}:state`, "run");
    const { store: later } = await openForTest(redis.url, { keyPrefix });
    const { position: after } = await commit(later, group, put("a", 2));
    expect(after.epoch).not.toBe(position.epoch);
  });
});
