import { Redis } from "ioredis";
import { expect, it } from "vitest";
import { ORIGIN, type Position } from "../../src/core/position.ts";
import type { Mutation, Store } from "../../src/core/store.ts";
import { foldPages } from "../../src/live/folded-state.ts";
import { unpackHead, unpackItem } from "../../src/stores/redis/encoding.ts";
import { textOfGroup } from "../../src/stores/redis/keys.ts";
import type { RedisStore } from "../../src/stores/redis/redis-store.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";
import { type RedisProcess, startRedis } from "../support/redis/redis-server.ts";
import {
  type RedisStoreRequest,
  openForTest,
  randomPrefix,
} from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import {
  COPIED_KEYS,
  type KeyCopies,
  type KeyName,
  keyCopies,
} from "../support/redis/torn-copy.ts";
import {
  ALL,
  changesSince,
  commit,
  contents,
  groupOf,
  put,
  remove,
  testClock,
} from "../stores/suite/fixture.ts";
import { firing, waitingOf } from "../stores/suite/outbox.ts";

/*
 * A copy that was taken or restored key by key while others wrote has the keys of a group from
 * different times.
 */

const group = groupOf("room");
/** Where a head has the time of its next sweep. */
const SWEEP_AT = 56;
const empty = groupOf("empty");

interface Scene {
  readonly redis: RedisProcess;
  readonly store: RedisStore;
  readonly copies: KeyCopies;
  /** Commits a mutation, which fires a trigger. */
  write(mutation: Mutation): Promise<Position>;
}

async function scene(redis?: RedisProcess, options: RedisStoreRequest = {}): Promise<Scene> {
  const server = redis ?? (await sharedRedis());
  const keyPrefix = randomPrefix();
  const { store } = await openForTest(server.url, { ...options, keyPrefix, partitions: 1 });
  const copies = keyCopies(server, keyPrefix, group);
  const write = async (mutation: Mutation) =>
    (await commit(store, group, firing(mutation, "t"))).position;
  return { redis: server, store, copies, write };
}

/** A group with copies "early" and "late"; the data is later than both. */
async function copiedScene(): Promise<Scene> {
  const { write, ...rest } = await scene();
  for (const id of ["a", "b", "c", "d"]) await write(put(id, `${id}1`));
  await write(put("b", "b2"));
  await rest.copies.take("early");
  await write(put("e", "e1"));
  await write(remove("a"));
  await write(put("c", "c2"));
  await write(put("f", "f1"));
  await write(remove("f"));
  await write(put("d", "d2"));
  await rest.copies.take("late");
  await write(put("g", "g1"));
  await write(put("d", "d3"));
  return { ...rest, write };
}

/** What a subscriber keeps. */
interface State {
  readonly position: Position;
  readonly items: ReadonlyMap<string, unknown>;
}

async function snapshotOf(store: Store): Promise<State> {
  const { items, position } = await foldPages(store, group, await store.snapshot(group));
  return { position, items: new Map(items.map(({ itemId, value }) => [itemId, value.json()])) };
}

/** The state of a subscriber that resumes: from the log, or from a fresh snapshot. */
async function resumed(store: Store, { position, items }: State): Promise<State> {
  const replay = await store.since(group, position, ALL);
  if (replay.lost) return snapshotOf(store);
  const now = new Map(items);
  for (const { type, itemId, value } of replay.changes) {
    if (type === "delete") now.delete(itemId);
    else now.set(itemId, value.json());
  }
  return { position: replay.head, items: now };
}

/** Every read of a group, each of which has to succeed. */
async function readAll(store: Store): Promise<void> {
  const [head] = await store.heads([group, empty]);
  const position = head?.position ?? ORIGIN;
  await Promise.all([
    store.get(group, "d"),
    store.list(group, ALL),
    store.list(group, { ...ALL, maxCount: 1, descending: true }),
    store.groups(group.streamName, { limit: 10 }),
    store.allGroups({ limit: 10 }),
    store.logRange(group),
    waitingOf(store, group),
  ]);
  for (let revision = 0; revision <= position.revision; revision++) {
    await store.since(group, { ...position, revision }, ALL);
    await store.deltasSince?.(group, { ...position, revision }, ALL);
  }
  await store.since(group, ORIGIN, ALL);
  await foldPages(store, group, await store.snapshot(group, 2), 2);
}

/** The records of the items, by the revisions that created them. */
async function recordsOf({
  redis,
  copies,
}: Scene): Promise<readonly (readonly [string, unknown])[]> {
  const ids = (await redis.command("HKEYS", copies.keyOf("items"))) as string[];
  const client = new Redis(redis.port);
  try {
    const records = await Promise.all(
      ids.map(async (id) => unpackItem(id, await client.hgetBuffer(copies.keyOf("items"), id))),
    );
    const found = records.flatMap((record) => (record === undefined ? [] : [record]));
    const packed = await client.getBuffer(copies.keyOf("head"));
    const head = unpackHead(packed, "");
    const dueAt = await client.zscore(copies.keyOf("due"), textOfGroup(group));
    expect(Number(dueAt)).toBe(packed?.readDoubleBE(SWEEP_AT));
    expect(head.itemCount).toBe(found.length);
    for (const { item } of found) expect(item.revision).toBeLessThanOrEqual(head.position.revision);
    found.sort((x, y) => x.createdRevision - y.createdRevision);
    const order = await client.zrange(copies.keyOf("order"), "0", "-1", "WITHSCORES");
    expect(order).toEqual(found.flatMap((one) => [one.item.itemId, String(one.createdRevision)]));
    return found.map(({ item }) => [item.itemId, item.value.json()]);
  } finally {
    client.disconnect();
  }
}

/** Expects that all keys of the group agree, and that what readers have is what is stored. */
async function expectAgreement(at: Scene, readers: readonly State[]): Promise<void> {
  const { store } = at;
  const records = await recordsOf(at);
  expect(await contents(store, group)).toEqual(records);
  for (const reader of [...readers, { position: ORIGIN, items: new Map<string, unknown>() }]) {
    const { items, position } = await resumed(store, reader);
    expect(new Map(items)).toEqual(new Map(records));
    expect([position]).toEqual((await store.heads([group])).map((head) => head.position));
  }
  const { head, oldest } = await store.logRange(group);
  expect(await changesSince(store, group, oldest - 1)).toHaveLength(head.revision - oldest + 1);
  const listed = records.length > 0 ? [group.groupId] : [];
  expect(await store.groups(group.streamName, { limit: 10 })).toEqual(listed);
  expect((await store.allGroups({ limit: 10 })).streamCount).toBe(listed.length);
}

describeWithRedis("a copy with keys of a group from different times", () => {
  const others = (name: KeyName) => COPIED_KEYS.filter((each) => each !== name);
  for (const name of COPIED_KEYS) {
    for (const [older, newer] of [
      ["early", "late"],
      ["late", "early"],
    ] as const) {
      it(`is read and written, and leaves no subscriber behind: ${name} of the ${older} copy, the rest of the ${newer} one (G2, G4)`, async () => {
        const at = await copiedScene();
        const { store, copies, write } = at;
        const before = await snapshotOf(store);
        await copies.flush();
        await copies.restore(newer, others(name));
        await copies.restore(older, [name]);
        await readAll(store);
        const torn = await snapshotOf(store);
        await write(put("h", "h1"));
        await write(remove("b"));
        await readAll(store);
        await expectAgreement(at, [before, torn]);
      });

      it(`is read and written while it is restored: ${name} before the rest of the ${newer} copy, in place of the ${older} one`, async () => {
        const at = await copiedScene();
        const { store, copies, write } = at;
        const readers = [await snapshotOf(store)];
        await copies.flush();
        await copies.restore(older, ["state"]);
        await copies.restore(older, [name]);
        await readAll(store);
        readers.push(await snapshotOf(store));
        await write(put("h", "h1"));
        await readAll(store);
        readers.push(await snapshotOf(store));
        await copies.restore(
          newer,
          others(name).filter((each) => each !== "state"),
        );
        await readAll(store);
        readers.push(await snapshotOf(store));
        await write(remove("b"));
        await write(put("i", "i1"));
        await readAll(store);
        await expectAgreement(at, readers);
      });
    }
  }

  it("is repaired by the first write alone, before anything is read", async () => {
    const at = await copiedScene();
    await at.copies.flush();
    await at.copies.restore("late");
    await at.copies.restore("early", ["order"]);
    await at.write(put("h", "h1"));
    const order = await at.redis.command("ZRANGE", at.copies.keyOf("order"), 0, -1);
    expect(order).toEqual(["b", "c", "d", "e", "h"]);
    await expectAgreement(at, []);
  });

  it("keeps the log, and has no new epoch but that of the lineage, when its keys agree", async () => {
    const at = await copiedScene();
    await at.copies.flush();
    await at.copies.restore("late");
    const [head] = await at.store.heads([group]);
    const { epoch } = await at.write(put("h", "h1"));
    expect(epoch).toBe(head?.position.epoch);
    expect(await changesSince(at.store, group, 0)).toHaveLength(12);
  });

  it("is compared even if the timestamps of the group are ahead of the clock", async () => {
    const clock = testClock();
    const at = await scene(undefined, { clock });
    for (let i = 0; i < 20; i++) await at.write(put("a", i));
    await at.copies.take("copy");
    clock.nowMs += 10;
    await at.copies.flush();
    await at.copies.restore("copy");
    await at.copies.remove(["order"]);
    await at.write(put("b", 1));
    expect(await at.redis.command("ZCARD", at.copies.keyOf("order"))).toBe(2);
    // Nor is it compared again while the clock is behind the start of the lineage.
    const { epoch } = await at.write(put("b", 2));
    clock.nowMs -= 5;
    expect((await at.write(put("b", 3))).epoch).toBe(epoch);
    await expectAgreement(at, []);
  });

  it("makes listeners compare with the log once it is repaired", async () => {
    const at = await copiedScene();
    await at.copies.flush();
    await at.copies.restore("late");
    await at.store.heads([group]);
    const doubted = new Promise<void>((resolve) => {
      void at.store.watch(group, () => {}, resolve);
    });
    await at.copies.remove(["order"]);
    await at.store.list(group, ALL);
    await doubted;
  });

  it("is compared once for a group in a lineage, and never in the first lineage", async () => {
    const redis = await startRedis();
    try {
      const at = await scene(redis);
      const scans = async () =>
        Number(
          /cmdstat_hscan:calls=(\d+)/.exec(
            String(await redis.command("INFO", "commandstats")),
          )?.[1] ?? 0,
        );
      await at.write(put("a", 1));
      await at.write(put("a", 2));
      expect(await scans()).toBe(0);
      await at.copies.take("copy");
      await at.copies.flush();
      await at.copies.restore("copy");
      await at.write(put("a", 3));
      expect(await scans()).toBe(1);
      await at.write(put("a", 4));
      await at.store.list(group, ALL);
      expect(await scans()).toBe(1);
      await at.store.close();
    } finally {
      await redis.dispose();
    }
  });

  it("lists a group again once it is written, when the index of groups lacks it", async () => {
    const at = await copiedScene();
    await at.copies.flush();
    await at.copies.restore("late");
    await at.copies.remove(["groups", "streams", "due"]);
    await at.write(put("h", "h1"));
    await expectAgreement(at, []);
  });

  it("loses no items to a sweep when the head of their group counts none", async () => {
    const clock = testClock();
    const at = await scene(undefined, { clock, history: { maxAgeMs: 1000 } });
    await at.write(put("a", 1));
    await at.copies.take("copy");
    await at.write(remove("a"));
    await at.copies.restore("copy", ["items", "order"]);
    for (let sweep = 0; sweep < 2; sweep++) {
      clock.nowMs += 10_000;
      await at.store.sweep();
    }
    expect(await contents(at.store, group)).toEqual([["a", 1]]);
  });

  it("takes writes and sweeps when a log is shorter than its head says", async () => {
    const clock = testClock();
    const at = await scene(undefined, { clock, history: { maxChanges: 2, maxAgeMs: 1000 } });
    await at.write(put("a", 1));
    await at.write(put("a", 2));
    await at.copies.remove(["log"]);
    await at.write(put("a", 3));
    await expectAgreement(at, []);
    await at.write(put("a", 4));
    await at.copies.remove(["log"]);
    clock.nowMs += 10_000;
    await at.store.sweep();
    expect(await contents(at.store, group)).toEqual([["a", 4]]);
    await expectAgreement(at, []);
  });

  it("is repaired in parts, so a large group does not block the server", async () => {
    const at = await scene();
    const count = 10_000;
    for (let i = 0; i < count; i += 1000) {
      const some = Array.from({ length: 1000 }, (_, n) => put(`i${i + n}`, i + n));
      await commit(at.store, group, ...some);
    }
    await at.copies.remove(["order"]);
    await at.redis.command("ZADD", at.copies.keyOf("order"), 1, "nothing");
    const partial: number[] = [];
    const repaired = at.store.list(group, ALL);
    // Other commands are served between the parts.
    let isDone = false;
    void repaired.then(() => (isDone = true));
    while (!isDone) partial.push(Number(await at.redis.command("ZCARD", at.copies.keyOf("order"))));
    expect((await repaired).items).toHaveLength(count);
    expect(partial.some((size) => size > 1 && size < count)).toBe(true);
    expect(await at.redis.command("ZSCORE", at.copies.keyOf("order"), "nothing")).toBeNull();
  });

  it("does not stop triggers when the outbox is newer than the counter of its entries", async () => {
    const at = await scene();
    await at.write(put("a", 1));
    const seq = Number(await at.redis.command("HGET", at.copies.keyOf("state"), "seq"));
    await at.redis.command("HSET", at.copies.keyOf("state"), "seq", String(seq - 1));
    await at.write(put("a", 2));
    await at.write(put("a", 3));
    const { heads } = await waitingOf(at.store, group);
    expect(heads.map((head) => head.seq)).toEqual([seq, seq + 1, seq + 2]);
  });
});
