import { expect, it } from "vitest";
import type { Position } from "../../src/core/position.ts";
import { Value } from "../../src/core/value.ts";
import { type CopiedRedis, OLD_COPIES } from "../support/redis/old-copies.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { ALL, commit, groupOf, listen, put, testClock } from "../stores/suite/fixture.ts";
import { firing, waitingOf } from "../stores/suite/outbox.ts";

const group = groupOf("room");

async function started(name: string): Promise<CopiedRedis> {
  const start = OLD_COPIES[name];
  if (start === undefined) throw new Error(`There is no way called ${name}.`);
  return start();
}

describeWithRedis("an older copy in place of the data", () => {
  for (const [name, start] of Object.entries(OLD_COPIES)) {
    it(`never repeats a revision of an epoch, whichever process writes first: ${name} (G4)`, async () => {
      const redis = await start();
      const keyPrefix = randomPrefix();
      const open = async () => (await openForTest(redis.url, { keyPrefix, partitions: 1 })).store;
      const [busy, idle] = await Promise.all([open(), open()]);
      const given: Position[] = [];
      const write = async (store: typeof busy, count: number) => {
        for (let i = 0; i < count; i++) {
          const { position } = await commit(store, group, put("a", given.length));
          given.push(position);
        }
      };
      await write(busy, 7);
      await write(idle, 1);
      await write(busy, 2);
      await redis.backUp();
      await write(busy, 10);
      await redis.restore();
      // It has seen revision 8, so it cannot know by itself that 11 to 20 are lost.
      await write(idle, 2);
      await write(busy, 2);
      const texts = given.map(({ epoch, revision }) => `${epoch} ${revision}`);
      expect(new Set(texts).size).toBe(texts.length);
      const after = given.slice(20);
      expect(after.map(({ revision }) => revision)).toEqual([11, 12, 13, 14]);
      expect(new Set(after.map(({ epoch }) => epoch)).size).toBe(1);
      expect(after[0]?.epoch).not.toBe(given[0]?.epoch);
      // The items of the copy may have changed since: no position of the old epoch is resumed.
      for (const at of [8, 10, 12, 20]) {
        const from = given[at - 1] as Position;
        expect(await busy.since(group, from, ALL)).toMatchObject({ lost: true });
        expect(await idle.since(group, from, ALL)).toMatchObject({ lost: true });
      }
    });
  }

  it("is visible to readers without writes: heads have a new epoch", async () => {
    const redis = await started("FLUSHALL and RESTORE of older dumps");
    const keyPrefix = randomPrefix();
    const losses: number[] = [];
    const { store } = await openForTest(redis.url, {
      keyPrefix,
      partitions: 1,
      onLoss: (partition) => losses.push(partition),
    });
    const { position } = await commit(store, group, put("a", 1));
    await redis.backUp();
    await commit(store, group, put("a", 2));
    await redis.restore();
    const [head] = await store.heads([group]);
    expect(head?.position.revision).toBe(1);
    expect(head?.position.epoch).not.toBe(position.epoch);
    expect(losses).toEqual([0]);
  });

  it("is detected without marks on the server when that was a replica meanwhile", async () => {
    const redis = await started("a master that follows a detached replica for a moment");
    const keyPrefix = randomPrefix();
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 1 });
    const { position } = await commit(store, group, put("a", 1));
    const info = String(await redis.command("INFO", "replication"));
    const replid = /master_replid:(\w+)/.exec(info)?.[1] ?? "";
    const state = `{${keyPrefix}:0}:state`;
    await redis.command("HSET", state, "marked", "0", "replid", replid);
    await redis.command("DEL", `{${keyPrefix}:0}:mark`);
    const { position: same } = await commit(store, group, put("a", 2));
    expect(same).toEqual({ epoch: position.epoch, revision: 2 });
    await redis.backUp();
    await redis.restore();
    const { position: after } = await commit(store, group, put("a", 3));
    expect(after.epoch).not.toBe(position.epoch);
  });

  it("is not assumed when a version without marks wrote the data: the epoch stays", async () => {
    const redis = await started("FLUSHALL and RESTORE of older dumps");
    const keyPrefix = randomPrefix();
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 1 });
    const { position } = await commit(store, group, put("a", 1));
    await redis.command("HDEL", `{${keyPrefix}:0}:state`, "marked", "replid", "began");
    await redis.command("DEL", `{${keyPrefix}:0}:mark`);
    expect((await store.heads([group]))[0]?.position).toEqual(position);
    const { position: after } = await commit(store, group, put("a", 2));
    expect(after).toEqual({ epoch: position.epoch, revision: 2 });
  });

  it("records when the new lineage began, by the clock of the server or the given one", async () => {
    const redis = await started("FLUSHALL and RESTORE of older dumps");
    const keyPrefix = randomPrefix();
    const clock = testClock();
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 1, clock });
    const began = async () =>
      Number(await redis.command("HGET", `{${keyPrefix}:0}:state`, "began"));
    const firstMs = clock.nowMs;
    expect(await began()).toBe(firstMs);
    await commit(store, group, put("a", 1));
    await redis.backUp();
    clock.nowMs += 5000;
    await commit(store, group, put("a", 2));
    expect(await began()).toBe(firstMs);
    await redis.restore();
    await commit(store, group, put("a", 2));
    expect(await began()).toBe(firstMs + 5000);
  });

  it("raises the clock of a sync to the start of the lineage, and events come after it", async () => {
    const redis = await started("FLUSHALL and RESTORE of older dumps");
    const clock = testClock();
    const { store } = await openForTest(redis.url, { partitions: 1, clock });
    await commit(store, group, put("a", 1));
    await redis.backUp();
    const keptMs = clock.nowMs;
    clock.nowMs += 5000;
    await commit(store, group, put("a", 2));
    await redis.restore();
    clock.nowMs += 1;
    await store.heads([group]);
    const beganMs = clock.nowMs;
    const { timestamp, syncTimestamp } = await store.get(group, "a");
    expect([timestamp, syncTimestamp]).toEqual([keptMs, beganMs]);
    const reader = await store.snapshot(group);
    expect(await reader.next(ALL)).toMatchObject({ timestamp, syncTimestamp });
    reader.close();
    // Even when the clock of the server is set back.
    clock.nowMs -= 1000;
    const ear = await listen(store, group);
    await store.broadcast(group, { type: "t", itemId: undefined, value: Value.of(1) });
    await commit(store, group, put("a", 3));
    await ear.received(2);
    expect(ear.events.map((event) => event.timestamp)).toEqual([beganMs + 1, beganMs + 2]);
    expect(await store.get(group, "a")).toMatchObject({ syncTimestamp: beganMs + 2 });
  });

  it("does not lock out the owner of the outbox, whose claim is lost with the data", async () => {
    const redis = await started("FLUSHALL and RESTORE of older dumps");
    const { store } = await openForTest(redis.url, { partitions: 1 });
    await store.claim(0, "1-before");
    await commit(store, group, firing(put("a", 1), "t"));
    await redis.backUp();
    await store.claim(0, "2-now");
    await redis.restore();
    const [waiting] = (await waitingOf(store, group)).heads;
    const settled = [{ seq: waiting?.seq ?? 0, triggers: ["t"], complete: true }];
    await store.outbox.settle(0, settled, "2-now");
    expect((await waitingOf(store, group)).heads).toEqual([]);
    await expect(store.outbox.settle(0, settled, "1-before")).rejects.toThrow("taken over");
  });
});
