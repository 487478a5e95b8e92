import { describe, expect, it } from "vitest";
import { Value } from "../../../src/core/value.ts";
import { createLmdbStore, openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import type { LmdbStoreOptions } from "../../../src/stores/lmdb/lmdb-store.ts";
import {
  ALL,
  changesSince,
  commit,
  contents,
  groupOf,
  listen,
  mark,
  put,
} from "../suite/fixture.ts";
import { openGatedDisk } from "./gated-disk.ts";
import { tempFolders } from "./temp-folder.ts";

const message = { type: "m", itemId: undefined, value: Value.of(1) };
const group = groupOf("room");

describe("an lmdb store and its disk", () => {
  const tempFolder = tempFolders();
  const open = async (rest: Omit<LmdbStoreOptions, "folder"> = {}) => {
    const folder = await tempFolder();
    const disk = await openGatedDisk(folder);
    return { folder, disk, store: createLmdbStore(disk, { sweepIntervalMs: 0, ...rest }) };
  };
  /** Whether it settles within a turn of the event loop. */
  const settles = (promise: Promise<unknown>) =>
    new Promise<boolean>((resolve) => {
      promise.then(
        () => resolve(true),
        () => resolve(true),
      );
      setImmediate(() => resolve(false));
    });

  it.each(["before", "after"] as const)(
    "shows, announces and answers nothing while the flush is under way (G6), held %s it",
    async (where) => {
      const { disk, store } = await open();
      await commit(store, group, put("a", "old"));
      const ear = await listen(store, group);
      const held = disk.hold(where);
      const write = commit(store, group, put("a", "new"), put("b", 1));
      const sent = store.broadcast(group, message);
      const refused = store.run(group, [{ mutations: [put("b", 2, 0)] }]);
      await held;
      for (const call of [write, sent, refused]) expect(await settles(call)).toBe(false);
      expect(ear.events).toEqual([]);
      expect(await contents(store, group)).toEqual([["a", "old"]]);
      expect(await store.heads([group])).toMatchObject([{ position: { revision: 1 } }]);
      expect(await changesSince(store, group, 0)).toHaveLength(1);
      const reader = await store.snapshot(group);
      disk.release();
      expect(await refused).toMatchObject([
        { ok: false, error: { metadata: { current_revision: "3" } } },
      ]);
      await Promise.all([write, sent]);
      expect(ear.events).toHaveLength(3);
      expect(await contents(store, group)).toEqual([
        ["a", "new"],
        ["b", 1],
      ]);
      expect((await reader.next(ALL)).items.map(({ value }) => value.json())).toEqual(["old"]);
      reader.close();
      await store.close();
    },
  );

  it("announces to watchers before it acknowledges to the writer", async () => {
    const { store } = await open();
    const order: string[] = [];
    await store.watch(group, () => order.push("announced"));
    await commit(store, group, put("a", 1));
    order.push("acknowledged");
    expect(order).toEqual(["announced", "acknowledged"]);
    await store.close();
  });

  it("flushes all writes that arrive during a flush together", async () => {
    const { disk, store } = await open();
    const before = disk.submitted.length;
    const held = disk.hold("before");
    const first = commit(store, group, put("a", 0));
    await held;
    const writes = Array.from({ length: 200 }, (_, i) =>
      commit(store, groupOf(`g${i % 20}`), mark("a", "x")),
    );
    disk.release();
    await Promise.all([first, ...writes]);
    expect(disk.submitted.length - before).toBe(2);
    expect((await store.get(groupOf("g7"), "a")).item?.value.json()).toBe("x".repeat(10));
    await store.close();
  });

  it("acknowledges a write as soon as it is on the disk, whatever happens to the next one", async () => {
    const { disk, store } = await open();
    const heldFirst = disk.hold("before");
    const first = commit(store, group, put("a", 1));
    await heldFirst;
    const second = commit(store, group, put("b", 2));
    const heldSecond = disk.hold("before");
    disk.release();
    await heldSecond;
    expect((await first).position.revision).toBe(1);
    disk.release();
    expect((await second).position.revision).toBe(2);
    await store.close();
  });

  it("writes an item once for many commits that share a flush, but logs each", async () => {
    const { disk, store } = await open();
    await Promise.all(Array.from({ length: 50 }, (_, i) => commit(store, group, put("a", i))));
    // The head, the item by id and by creation, two indexes, the stream's count and the stream
    // count.
    expect(disk.submitted.at(-1)).toHaveLength(50 + 7);
    expect(await changesSince(store, group, 0)).toHaveLength(50);
    await store.close();
  });

  it("writes equally little for each change, however long the log has been", async () => {
    const { disk, store } = await open({ history: { maxChanges: 5 } });
    const writes: number[] = [];
    for (let i = 0; i < 150; i++) {
      await commit(store, group, put("a", i));
      writes.push(disk.submitted.at(-1)?.length ?? 0);
    }
    // The item, the change, the head, and occasionally the removal of changes that left the log.
    expect(writes.slice(10).filter((count) => count !== 3)).toEqual([35, 35, 35, 35]);
    await store.close();
  });

  it("splits waiting commits into batches, even within one call, and keeps their order", async () => {
    const { disk, store } = await open({ queue: { maxBatch: 10, maxBatchBytes: 1_000_000 } });
    const before = disk.submitted.length;
    const ear = await listen(store, group);
    const long = store.run(
      group,
      Array.from({ length: 35 }, (_, i) => ({ mutations: [put("a", i)] })),
    );
    const late = commit(store, group, put("a", "last"));
    const outcomes = await long;
    expect(outcomes.map((outcome) => outcome.ok && outcome.position.revision)).toEqual(
      Array.from({ length: 35 }, (_, i) => i + 1),
    );
    expect((await late).position.revision).toBe(36);
    expect(disk.submitted.length - before).toBe(4);
    await ear.received(36);
    await store.close();
  });

  it("ends a batch by bytes", async () => {
    const { disk, store } = await open({ queue: { maxBatchBytes: 10_000 } });
    const before = disk.submitted.length;
    await Promise.all(
      Array.from({ length: 10 }, (_, i) => commit(store, group, put(`i${i}`, "x".repeat(5000)))),
    );
    expect(disk.submitted.length - before).toBe(5);
    await store.close();
  });

  it("refuses writes beyond the limits of the queue, and continues afterwards (OVERLOADED)", async () => {
    const { disk, store } = await open({ queue: { maxWaiting: 10, maxWaitingBytes: 10_000 } });
    const held = disk.hold("before");
    const first = commit(store, group, put("a", 0));
    await held;
    const writes = Array.from({ length: 10 }, (_, i) => commit(store, group, put(`i${i}`, 1)));
    await expect(commit(store, group, put("b", 1))).rejects.toMatchObject({ reason: "OVERLOADED" });
    await expect(store.broadcast(group, message)).rejects.toMatchObject({ reason: "OVERLOADED" });
    disk.release();
    await Promise.all([first, ...writes]);
    await commit(store, group, put("b", 1));
    const heldAgain = disk.hold("before");
    const large = [commit(store, group, put("c", "x".repeat(20_000)))];
    await heldAgain;
    large.push(commit(store, group, put("d", "x".repeat(6000))));
    await expect(commit(store, group, put("e", "x".repeat(6000)))).rejects.toMatchObject({
      reason: "OVERLOADED",
    });
    disk.release();
    await Promise.all(large);
    expect((await store.list(group, ALL)).items).toHaveLength(14);
    await store.close();
  });

  it.each(["fail", "hang"] as const)(
    "takes no more writes once a flush failed (%s), but serves reads of what is durable",
    async (how) => {
      const { folder, disk, store } = await open({ queue: { maxBatch: 2, commitTimeoutMs: 50 } });
      await commit(store, group, put("a", "durable"));
      const ear = await listen(store, group);
      disk.breakDown(how);
      const calls = await Promise.allSettled([
        commit(store, group, put("a", 1)),
        store.broadcast(group, message),
        commit(store, group, put("a", 2)),
      ]);
      expect(calls).toMatchObject([
        { status: "rejected", reason: { reason: "OUTCOME_UNKNOWN" } },
        { status: "rejected", reason: { reason: "OUTCOME_UNKNOWN" } },
        { status: "rejected", reason: { reason: "STORE_UNAVAILABLE" } },
      ]);
      const later = { reason: "STORE_UNAVAILABLE", message: expect.stringContaining("restarted") };
      await expect(commit(store, group, put("a", 3))).rejects.toMatchObject(later);
      await expect(store.broadcast(group, message)).rejects.toMatchObject(later);
      expect(await contents(store, group)).toEqual([["a", "durable"]]);
      expect(await store.heads([group])).toMatchObject([{ position: { revision: 1 } }]);
      expect(ear.events).toEqual([]);
      await store.close();
      const again = await openLmdbStore({ folder });
      expect(await contents(again, group)).toEqual([["a", "durable"]]);
      await commit(again, group, put("a", "works"));
      await again.close();
    },
  );

  it("rejects a call that was partly written before a flush failed with OUTCOME_UNKNOWN", async () => {
    const { disk, store } = await open({ queue: { maxBatch: 2 } });
    const held = disk.hold("after");
    const call = store.run(
      group,
      Array.from({ length: 5 }, (_, i) => ({ mutations: [put("a", i)] })),
    );
    await held;
    disk.breakDown("fail");
    disk.release();
    await expect(call).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    expect(await contents(store, group)).toEqual([["a", 1]]);
    await store.close();
  });

  it("does not touch the disk for commits that change nothing", async () => {
    const { disk, store } = await open();
    await commit(store, group, put("a", 1));
    const before = disk.submitted.length;
    await store.run(group, [
      { mutations: [put("a", 1, 7)] },
      { mutations: [{ kind: "delete", itemId: "b" }] },
    ]);
    await store.sweep();
    expect(disk.submitted.length).toBe(before);
    await store.close();
  });
});
