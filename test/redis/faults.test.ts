import { expect, it, onTestFinished } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { Store } from "../../src/core/store.ts";
import { startCluster } from "../support/redis/redis-cluster.ts";
import { startSentinels } from "../support/redis/redis-sentinel.ts";
import { type RedisOptions, type RedisProcess, startRedis } from "../support/redis/redis-server.ts";
import { openForTest } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { follow } from "../support/redis/follow.ts";
import { commit, contents, groupOf, mark, put } from "../stores/suite/fixture.ts";

const group = groupOf("room");

async function redisFor(options: RedisOptions): Promise<RedisProcess> {
  const redis = await startRedis(options);
  onTestFinished(async () => redis.dispose());
  return redis;
}

/** Retries until it succeeds. @returns the duration in milliseconds. */
async function untilDone(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  for (;;) {
    try {
      await work();
      return performance.now() - startMs;
    } catch (error) {
      if (performance.now() - startMs > 15_000) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

const reasonOf = async (call: Promise<unknown>) =>
  call.then(
    () => "done",
    (error: unknown) => StreamError.from(error).reason,
  );

describeWithRedis("a Redis store", () => {
  it("keeps its epochs when Redis restarts with all data on disk (G4, G6)", async () => {
    const redis = await redisFor({ appendfsync: "always" });
    const { store } = await openForTest(redis.url);
    const { position } = await commit(store, group, put("a", 1));
    const follower = await follow(store, group);
    await redis.kill();
    await expect.poll(() => store.failure?.reason).toBe("STORE_UNAVAILABLE");
    await redis.restart();
    const done = await untilDone(() => commit(store, group, put("a", 2)));
    expect(done).toBeLessThan(2000);
    expect(await store.heads([group])).toMatchObject([
      { position: { epoch: position.epoch, revision: 2 } },
    ]);
    expect(store.failure).toBeUndefined();
    await follower.until((frames) => frames.at(-1)?.kind === "change");
    expect(follower.frames.map(({ kind }) => kind)).toEqual(["sync", "change"]);
  });

  it("begins new epochs when a restart may have lost writes, and sends fresh snapshots", async () => {
    const redis = await redisFor({ appendfsync: "everysec" });
    const { store } = await openForTest(redis.url);
    const { position } = await commit(store, group, put("a", 1));
    const follower = await follow(store, group);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await redis.restart();
    await untilDone(() => commit(store, group, put("b", 2)));
    const [head] = await store.heads([group]);
    expect(head?.position.epoch).not.toBe(position.epoch);
    await follower.until((frames) => frames.filter(({ kind }) => kind === "sync").length >= 2);
    expect(await contents(store, group)).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
    expect(await store.since(group, position, { maxCount: 10, maxBytes: 1000 })).toMatchObject({
      lost: true,
    });
  });

  it("begins new epochs when Redis loses all data", async () => {
    const redis = await redisFor({});
    const { store } = await openForTest(redis.url);
    const { position } = await commit(store, group, put("a", 1), put("b", 1));
    const follower = await follow(store, group);
    await redis.restart();
    await untilDone(() => commit(store, group, put("c", 1)));
    const [head] = await store.heads([group]);
    expect(head?.position).toMatchObject({ revision: 1 });
    expect(head?.position.epoch).not.toBe(position.epoch);
    await follower.until((frames) => follower.state().has("c") && frames.length > 1);
    expect(follower.state()).toEqual(new Map([["c", 1]]));
  });

  it("fails calls in time while Redis is paused, and never applies one twice", async () => {
    const redis = await redisFor({});
    const { store } = await openForTest(redis.url, { timeoutMs: 500 });
    await commit(store, group, mark("log", "start "));
    await commit(store, groupOf("other"), put("x", 0));
    const follower = await follow(store, group);
    redis.pause();
    const startMs = performance.now();
    const reasons = await Promise.all([
      reasonOf(commit(store, group, mark("log", "lost "))),
      reasonOf(commit(store, groupOf("other"), put("x", 1))),
      reasonOf(store.get(group, "log")),
    ]);
    expect(performance.now() - startMs).toBeLessThan(2500);
    expect(reasons.map((reason) => /OUTCOME_UNKNOWN|STORE_UNAVAILABLE/.test(reason))).toEqual([
      true,
      true,
      true,
    ]);
    expect(reasons[2]).toBe("STORE_UNAVAILABLE");
    expect(reasons[1]).toBe("OUTCOME_UNKNOWN");
    redis.resume();
    await untilDone(() => commit(store, group, mark("log", "end ")));
    const text = (await store.get(group, "log")).item?.value.text ?? "";
    expect(text.match(/end /g)).toHaveLength(1);
    expect(text).toMatch(/end "$/);
    const [head] = await store.heads([group]);
    await follower.until((frames) => {
      const last = frames.at(-1);
      return last?.kind === "change" && last.position.revision === head?.position.revision;
    });
  });

  it("reloads its scripts when Redis has lost them", async () => {
    const redis = await redisFor({});
    const { store } = await openForTest(redis.url);
    await commit(store, group, put("a", 1));
    await redis.command("SCRIPT", "FLUSH");
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => commit(store, groupOf(`g${i}`), put("a", i))),
    );
    await redis.command("SCRIPT", "FLUSH");
    expect((await store.get(group, "a")).item?.value.json()).toBe(1);
    expect(await store.groups("stream", { limit: 100 })).toHaveLength(21);
  });

  it("refuses writes as a whole while Redis is out of memory, and accepts them again later", async () => {
    const redis = await redisFor({ args: ["--maxmemory", "20mb"] });
    const { store } = await openForTest(redis.url, { timeoutMs: 300 });
    const large = "x".repeat(1_000_000);
    await commit(store, group, put("small", 1));
    let accepted = 0;
    let refused = 0;
    for (let i = 0; i < 40 && refused < 3; i++) {
      const reason = await reasonOf(
        commit(store, groupOf(`big${i}`), put("a", large), put("b", large)),
      );
      if (reason === "done") accepted++;
      else {
        expect(reason).toBe("STORE_UNAVAILABLE");
        refused++;
        expect(await contents(store, groupOf(`big${i}`))).toEqual([]);
        expect(await store.heads([groupOf(`big${i}`)])).toMatchObject([
          { position: { revision: 0 } },
        ]);
      }
    }
    expect([accepted > 0, refused]).toEqual([true, 3]);
    expect((await store.get(group, "small")).item?.value.json()).toBe(1);
    await redis.command("CONFIG", "SET", "maxmemory", "0");
    await commit(store, group, put("small", 2));
  });

  it("does not acknowledge writes while Redis has too few replicas", async () => {
    const redis = await redisFor({});
    const { store } = await openForTest(redis.url, { minReplicas: 1, timeoutMs: 400 });
    const reason = await reasonOf(commit(store, group, put("a", 1)));
    expect(reason).toBe("OUTCOME_UNKNOWN");
    const replica = await redisFor({ replicaOf: redis });
    await untilDone(() => commit(store, group, put("a", 2)));
    expect(String(await replica.command("DBSIZE"))).not.toBe("0");
  });
});

describeWithRedis("a failover", () => {
  it("sends every follower a fresh snapshot when it loses acknowledged writes", async () => {
    const trio = await startSentinels();
    onTestFinished(async () => trio.dispose());
    const { store } = await openForTest(trio.url, { timeoutMs: 2000 });
    const { store: other } = await openForTest(trio.url, { timeoutMs: 2000 });
    await commit(store, group, put("a", "kept"));
    const followers = await Promise.all([follow(store, group), follow(other, group)]);
    // The replica is paused, so it never receives the writes that are acknowledged now.
    trio.replica.pause();
    await trio.master.command("CLIENT", "KILL", "TYPE", "replica");
    const { position } = await commit(store, group, put("a", "lost"), put("b", "lost"));
    await Promise.all(
      followers.map((follower) => follower.until(() => follower.state().get("b") === "lost")),
    );
    await trio.master.kill();
    trio.replica.resume();
    await untilDone(() => commit(other, group, put("c", "new")));
    const [head] = await store.heads([group]);
    expect(head?.position.epoch).not.toBe(position.epoch);
    for (const follower of followers) {
      await follower.until(() => follower.state().has("c"));
      expect(follower.state()).toEqual(new Map(await contentsOf(other)));
    }
    expect(followers[0]?.state().get("a")).toBe("kept");
  }, 40_000);

  it("of a cluster node keeps the service available", async () => {
    const cluster = await startCluster({ replicas: 1, appendfsync: "always" });
    onTestFinished(async () => cluster.dispose());
    const { store } = await openForTest(cluster.url, { timeoutMs: 2000 });
    const groups = Array.from({ length: 30 }, (_, i) => groupOf(`g${i}`));
    await Promise.all(groups.map((each) => commit(store, each, put("a", 1))));
    const followers = await Promise.all(groups.map((each) => follow(store, each)));
    await cluster.nodes[0]?.kill();
    await untilDone(async () => {
      for (const each of groups) await commit(store, each, put("a", 2));
    });
    for (const follower of followers) await follower.until(() => follower.state().get("a") === 2);
  }, 40_000);
});

async function contentsOf(store: Store) {
  return contents(store, group);
}
