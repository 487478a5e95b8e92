import { describe, expect, it } from "vitest";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";
import { openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import type { LmdbStoreOptions } from "../../../src/stores/lmdb/lmdb-store.ts";
import { commit, contents, groupOf, mark, put, remove, testClock } from "../suite/fixture.ts";
import { commitOnce, once, repetitionOf } from "../suite/idempotency.ts";
import { tempFolders } from "./temp-folder.ts";

const group = groupOf("room");
const WINDOW = 600_000;

describe("idempotency keys in an lmdb store", () => {
  const tempFolder = tempFolders();
  const open = (folder: string, rest: Omit<LmdbStoreOptions, "folder"> = {}) =>
    openLmdbStore({ folder, sweepIntervalMs: 0, ...rest });

  /** Number of records of keys on the disk, and the format of the data. */
  const onDisk = async (folder: string) => {
    const disk = await openFolder(folder);
    const view = disk.view();
    const { keys, meta } = disk.tables;
    const all = view.range(keys, Buffer.alloc(0), Buffer.alloc(64, 0xff));
    const records = Array.from(all).length;
    const format = view.get(meta, Buffer.from("format"))?.toString();
    view.release();
    await disk.close();
    return { records, format };
  };

  it("are remembered after a restart, for the rest of the window (G6)", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const first = await open(folder, { clock });
    const written = await commitOnce(first, once("k1"), [put("a", 1), mark("b", "x")]);
    const deleted = await commitOnce(first, once("k2"), [remove("none")]);
    await commitOnce(first, once("k1"), [remove("none")], {}, groupOf("only"));
    await first.close();
    clock.nowMs += WINDOW - 1;
    const second = await open(folder, { clock });
    const again = async (key: string) => commitOnce(second, once(key), [put("a", 2)]);
    expect(await again("k1")).toEqual(repetitionOf(written));
    expect(await again("k2")).toEqual(repetitionOf(deleted));
    expect(await second.recall?.(groupOf("only"), once("k1"))).toBeDefined();
    clock.nowMs += 1;
    expect((await again("k1")).deduplicated).toBeUndefined();
    expect(await contents(second, group)).toEqual([
      ["a", 2],
      ["b", "x"],
    ]);
    await second.close();
  });

  it("use the window of the new start", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const first = await open(folder, { clock });
    await commitOnce(first, once("k"), [put("a", 1)]);
    await first.close();
    clock.nowMs += 2000;
    const short = await open(folder, { clock, idempotencyWindowMs: 1000 });
    expect(await short.recall?.(group, once("k"))).toBeUndefined();
    await short.close();
    const long = await open(folder, { clock });
    expect(await long.recall?.(group, once("k"))).toBeDefined();
    await long.close();
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 53])("refuse a window of %d ms", async (window) => {
    const opening = open(await tempFolder(), { idempotencyWindowMs: window });
    await expect(opening).rejects.toThrow(
      `idempotencyWindowMs is ${window}; it may be an integer from 1 to 3153600000000.`,
    );
  });

  it("leave nothing on the disk once they are forgotten", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const history = { maxAgeMs: 1000 };
    const store = await open(folder, { clock, history });
    await commit(store, group, put("a", 1));
    for (let round = 0; round < 3; round++) {
      // The same ones are used again: expired, and before the first ones are forgotten.
      for (let i = 0; i < 50; i++) await commitOnce(store, once(`k${i}`), [mark("b", "x")]);
      await commitOnce(store, once("k"), [remove("none")], {}, groupOf(`only${round}`));
      clock.nowMs += WINDOW;
    }
    clock.nowMs += WINDOW;
    for (let i = 0; i < 10; i++) await store.sweep();
    await store.close();
    expect(await onDisk(folder)).toEqual({ records: 0, format: "4" });
  });

  it("get a format that earlier versions refuse with the first of them, and keep it", async () => {
    const folder = await tempFolder();
    const store = await open(folder);
    await commit(store, group, put("a", 1));
    await store.close();
    expect((await onDisk(folder)).format).toBe("1");
    const keyed = await open(folder);
    await commitOnce(keyed, once("k"), [remove("none")]);
    await keyed.close();
    // The key by its number and by its id, and the record of all.
    expect(await onDisk(folder)).toEqual({ records: 3, format: "4" });
    const plain = await open(folder);
    await commit(plain, group, put("a", 2));
    await plain.close();
    expect((await onDisk(folder)).format).toBe("4");
  });
});
