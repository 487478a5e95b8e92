import { describe, expect, it } from "vitest";
import type { Item } from "../../../src/core/change.ts";
import type { SnapshotReader } from "../../../src/core/store.ts";
import { openDisk } from "../../../src/stores/lmdb/disk.ts";
import type { Disk } from "../../../src/stores/lmdb/disk.ts";
import { createLmdbStore, openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { brief, commit, groupOf, put, remove } from "../suite/fixture.ts";
import { tempFolders } from "./temp-folder.ts";

describe("a snapshot reader of the lmdb store", () => {
  const tempFolder = tempFolders();
  const group = groupOf("room");
  const readRest = async (reader: SnapshotReader, maxCount = 7) => {
    const items: Item[] = [];
    for (let done = false; !done;) {
      const page = await reader.next({ maxCount, maxBytes: 1e9 });
      items.push(...page.items);
      done = page.done;
    }
    return items;
  };

  it("does not skip pages once it continues from memory, and loses none", async () => {
    const store = await openLmdbStore({ folder: await tempFolder(), snapshotHoldMs: 1 });
    await commit(store, group, ...Array.from({ length: 20 }, (_, i) => put(`i${i}`, i)));
    const limits = { maxCount: 7, maxBytes: 1e9 };
    const late = await store.snapshot(group);
    const first = await late.next(limits);
    // The hold time is over, and the rest is taken into memory: later pages have no place on the
    // disk.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const quick = await store.snapshot(group);
    const pages = [await quick.next(limits), await quick.next(limits)];
    expect(pages[0]).toEqual(first);
    expect(late.skip?.(pages[1]!)).toBe(false);
    const fromMemory = await late.next(limits);
    expect(fromMemory).toMatchObject({ items: pages[1]!.items, done: false });
    expect(quick.skip?.(fromMemory)).toBe(false);
    expect((await readRest(late)).map(brief)).toEqual((await readRest(quick)).map(brief));
    await store.close();
  });

  /** A disk that counts its living views. */
  const countingDisk = async (): Promise<{ disk: Disk; alive: () => number }> => {
    const disk = openDisk(`${await tempFolder()}/data.mdb`);
    let alive = 0;
    const view = () => {
      const inner = disk.view();
      alive += 1;
      let owners = 1;
      return {
        ...inner,
        retain() {
          owners += 1;
          inner.retain();
        },
        release() {
          owners -= 1;
          if (owners === 0) alive -= 1;
          inner.release();
        },
      };
    };
    return { disk: { ...disk, view }, alive: () => alive };
  };

  it("continues from memory, at the same position, when it takes too long", async () => {
    const { disk, alive } = await countingDisk();
    const store = createLmdbStore(disk, { sweepIntervalMs: 0, snapshotHoldMs: 5 });
    const expected = Array.from({ length: 2500 }, (_, i) => [`i${i}`, i] as const);
    const { position } = await commit(store, group, ...expected.map(([id, i]) => put(id, i)));
    const reader = await store.snapshot(group);
    const first = await reader.next({ maxCount: 3, maxBytes: 1e9 });
    await commit(store, group, put("i100", "new"), remove("i200"));
    await expect.poll(alive, { interval: 2 }).toBe(1);
    await commit(store, group, put("late", 1));
    const page = await reader.next({ maxCount: 10, maxBytes: 1e9 });
    expect(page).toMatchObject({ position, done: false });
    expect(page.items).toHaveLength(10);
    const items = [...first.items, ...page.items, ...(await readRest(reader, 400))];
    expect(items.map(brief)).toEqual(expected);
    reader.close();
    await store.close();
  });

  it("releases its state with the last page, when closed, and with the store", async () => {
    const { disk, alive } = await countingDisk();
    const store = createLmdbStore(disk, { sweepIntervalMs: 0 });
    await commit(store, group, put("a", 1), put("b", 1));
    const open = async () => {
      const reader = await store.snapshot(group);
      await commit(store, group, put("c", 1));
      return reader;
    };
    const [read, closed, left] = [await open(), await open(), await open()];
    expect(alive()).toBe(4);
    await readRest(read);
    expect(alive()).toBe(3);
    closed.close();
    expect(alive()).toBe(2);
    await expect(closed.next({ maxCount: 1, maxBytes: 1 })).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
    await store.close();
    expect(alive()).toBe(0);
    await expect(left.next({ maxCount: 1, maxBytes: 1 })).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
  });

  it("shares a limit of held states with all other readers", async () => {
    const { disk, alive } = await countingDisk();
    const store = createLmdbStore(disk, { sweepIntervalMs: 0 });
    await commit(store, group, put("a", 1), put("b", 1));
    const readers: SnapshotReader[] = [];
    for (let i = 0; i < 300; i++) {
      readers.push(await store.snapshot(group));
      await commit(store, group, put("b", i));
    }
    await expect.poll(alive, { interval: 2 }).toBeLessThanOrEqual(257);
    const all = await Promise.all(readers.map((reader) => readRest(reader)));
    expect(all.map((items) => items[1]?.value.json())).toEqual([
      1,
      ...Array.from({ length: 299 }, (_, i) => i),
    ]);
    await store.close();
  });

  it("reads large values from a state that later writes replaced", async () => {
    const store = await openLmdbStore({ folder: await tempFolder(), sweepIntervalMs: 0 });
    const text = (mark: string) => mark.repeat(300_000);
    await commit(store, group, ...["a", "b", "c"].map((id) => put(id, text(id))));
    const reader = await store.snapshot(group);
    for (let round = 0; round < 5; round++)
      await commit(store, group, ...["a", "b", "c"].map((id) => put(id, text(String(round)))));
    expect((await readRest(reader, 1)).map(brief)).toEqual(
      ["a", "b", "c"].map((id) => [id, text(id)]),
    );
    reader.close();
    await store.close();
  });
});
