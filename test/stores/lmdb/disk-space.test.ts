import { afterEach, describe, expect, it } from "vitest";
import type { HistoryOptions } from "../../../src/core/retention.ts";
import { Value } from "../../../src/core/value.ts";
import type { Disk } from "../../../src/stores/lmdb/disk.ts";
import { createLmdbStore, type LmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";
import {
  changesSince,
  commit,
  groupOf,
  put,
  remove,
  testClock,
  type TestClock,
} from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

describe("the disk space of an lmdb store", () => {
  const tempFolder = tempFolders();
  const group = groupOf("room");
  const maxAgeMs = 60_000;
  let disk: Disk;
  let store: LmdbStore;
  let clock: TestClock;
  afterEach(() => store.close());

  const open = async (history: HistoryOptions) => {
    disk = await openFolder(await tempFolder());
    clock = testClock();
    store = createLmdbStore(disk, { clock, history: { maxAgeMs, ...history }, sweepIntervalMs: 0 });
  };
  /** Number of records by kind, over all groups. */
  const records = () => {
    const view = disk.view();
    const counts = { itemIds: 0, items: 0, changes: 0, heads: 0, groups: 0, streams: 0, due: 0 };
    const kinds = ["itemIds", "items", "changes", "heads"] as const;
    const all = [Buffer.from([0]), Buffer.from([0xff])] as const;
    for (const { key } of view.range(disk.tables.data, ...all)) {
      const kind = kinds[(key[key.indexOf(0, key.indexOf(0) + 1) + 1] ?? 0) - 1];
      if (kind !== undefined) counts[kind] += 1;
    }
    for (const name of ["groups", "streams", "due"] as const)
      counts[name] = Array.from(view.range(disk.tables[name], ...all)).length;
    view.release();
    return counts;
  };

  it("is bounded while a group is written continuously", async () => {
    await open({ maxChanges: 10 });
    for (let i = 0; i < 200; i++) {
      await commit(store, group, put("a", i));
      expect(records().changes).toBeLessThan(10 + 32);
    }
    expect(await changesSince(store, group, 190)).toHaveLength(10);
    expect(await changesSince(store, group, 189)).toBe("lost");
    await commit(store, group, ...Array.from({ length: 1000 }, (_, i) => put("a", i)));
    expect(records()).toMatchObject({ itemIds: 1, items: 1, changes: 10, heads: 1, due: 1 });
  });

  it("holds no large change that left the log", async () => {
    await open({ maxChanges: 2 });
    for (let i = 0; i < 10; i++) {
      await commit(store, group, put("a", "x".repeat(5000)));
      expect(records().changes).toBeLessThanOrEqual(2);
    }
  });

  it("holds only the items of a quiet group once its log has expired", async () => {
    await open({ maxChanges: 5 });
    for (let i = 0; i < 20; i++) await commit(store, group, put(`i${i % 4}`, i));
    await commit(store, group, remove("i0"));
    clock.nowMs += maxAgeMs + 1;
    await store.sweep();
    expect(records()).toEqual({
      itemIds: 3,
      items: 3,
      changes: 0,
      heads: 1,
      groups: 1,
      streams: 1,
      due: 0,
    });
    await commit(store, group, put("i1", 1));
    expect(records()).toMatchObject({ changes: 1, due: 1 });
  });

  it("holds nothing of a forgotten group", async () => {
    await open({ maxChanges: 5 });
    const names = Array.from({ length: 30 }, (_, i) => groupOf(`g${i}`, `s${i % 3}`));
    for (let round = 0; round < 3; round++) {
      for (const key of names) {
        await store.run(key, [
          {
            mutations: [
              put("a", 1),
              put("b", 1),
              put("a", 2),
              remove("a"),
              put("a", 3),
              remove("b"),
              remove("a"),
            ],
          },
        ]);
        await store.broadcast(key, { type: "x", itemId: undefined, value: Value.of(1) });
      }
      clock.nowMs += maxAgeMs + 20;
      await store.sweep();
      expect(records()).toEqual({
        itemIds: 0,
        items: 0,
        changes: 0,
        heads: 0,
        groups: 0,
        streams: 0,
        due: 0,
      });
    }
  });

  it("is freed in steps when a very long log expires at once, without delaying writers", async () => {
    await open({ maxChanges: 1_000_000 });
    for (let i = 0; i < 21; i++)
      await commit(store, group, ...Array.from({ length: 1000 }, () => put("a", 1)));
    expect(records().changes).toBe(21_000);
    clock.nowMs += 2 * maxAgeMs;
    await commit(store, group, put("a", 2));
    expect(records().changes).toBeGreaterThan(20_000);
    expect(await changesSince(store, group, 21_000)).toHaveLength(1);
    expect(await changesSince(store, group, 20_999)).toBe("lost");
    await store.sweep();
    expect(records().changes).toBe(1);
  });
});
