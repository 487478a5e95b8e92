import { describe, expect, it } from "vitest";
import { encodeItem } from "../../../src/stores/lmdb/encoding.ts";
import { openFolder } from "../../../src/stores/lmdb/folder/open-folder.ts";
import { type LmdbStoreOptions, openLmdbStore } from "../../../src/stores/lmdb/lmdb-store.ts";
import { Value } from "../../../src/core/value.ts";
import { once } from "../suite/idempotency.ts";
import {
  attempt,
  changesSince,
  commit,
  groupOf,
  put,
  remove,
  testClock,
} from "../suite/fixture.ts";
import { expire, mortal } from "../suite/lifetimes.ts";
import { tempFolders } from "./temp-folder.ts";

const group = groupOf("room");

describe("lifetimes on disk", () => {
  const tempFolder = tempFolders();
  const open = async (folder: string, options: Partial<LmdbStoreOptions> = {}) =>
    openLmdbStore({ folder, sweepIntervalMs: 0, ...options });
  /** Number of records of the index, and the format of the data. */
  const onDisk = async (folder: string) => {
    const disk = await openFolder(folder);
    const view = disk.view();
    const { meta, lifetimes } = disk.tables;
    const format = view.get(meta, Buffer.from("format"))?.toString();
    const all = view.range(lifetimes, Buffer.of(0), Buffer.of(255), 1000);
    const records = Array.from(all).length;
    view.release();
    await disk.close();
    return { records, format };
  };

  it("survive a restart, with the causes in the log (G6)", async () => {
    const folder = await tempFolder();
    const clock = testClock();
    const first = await open(folder, { clock });
    await commit(
      first,
      group,
      mortal("gone", { ttlMs: 1000 }),
      mortal("a", { ttlMs: 1000, connection: "C" }),
      mortal("b", { ttlMs: 5000 }),
    );
    await commit(first, group, expire("gone"));
    await first.close();
    const second = await open(folder, { clock });
    const lifetime = { expireTimeMs: clock.nowMs + 1000, connection: "C" };
    expect((await second.get(group, "a")).item?.lifetime).toEqual(lifetime);
    expect(await second.lifetimes.expired(10)).toEqual([]);
    clock.nowMs += 1000;
    const expired = [{ group, itemId: "a", expireTimeMs: clock.nowMs }];
    expect(await second.lifetimes.expired(10)).toEqual(expired);
    expect(await second.lifetimes.boundTo("C", 10)).toMatchObject([{ itemId: "a" }]);
    const changes = await changesSince(second, group, 3);
    expect(changes).toMatchObject([{ type: "delete", itemId: "gone", cause: "expired" }]);
    await second.close();
  });

  it("leave nothing in the index once their items are deleted or have none", async () => {
    const folder = await tempFolder();
    const store = await open(folder);
    for (let i = 0; i < 20; i++)
      await commit(store, group, mortal(`i${i}`, { ttlMs: 1000 * (i + 1), connection: "C" }));
    for (let i = 0; i < 20; i++)
      await commit(store, group, i % 2 === 0 ? remove(`i${i}`) : put(`i${i}`, 1));
    await store.close();
    expect(await onDisk(folder)).toEqual({ records: 0, format: "5" });
  });

  it("leave none of a commit that was refused", async () => {
    const folder = await tempFolder();
    const store = await open(folder);
    await commit(store, group, put("a", 1));
    await attempt(store, group, [mortal("b", { ttlMs: 1000 }), put("a", 2, 7)]);
    await store.close();
    expect(await onDisk(folder)).toEqual({ records: 0, format: "1" });
  });

  it("get a format that earlier versions refuse with the first of them, and keep it", async () => {
    const folder = await tempFolder();
    const written = async (...mutations: Parameters<typeof commit>[2][]) => {
      const store = await open(folder);
      await commit(store, group, ...mutations);
      await store.close();
      return (await onDisk(folder)).format;
    };
    expect(await written(put("a", 1), put("b", 1))).toBe("1");
    const keyed = await open(folder);
    await attempt(keyed, group, [put("c", 1)], { idempotency: once("k") });
    await keyed.close();
    // A folder of the version before opens, and stays as it is without lifetimes.
    expect(await written(put("a", 2))).toBe("4");
    expect(await written(mortal("a", { ttlMs: 1000 }))).toBe("5");
    expect(await written(put("a", 3))).toBe("5");
  });

  it("get that format with the first cause as well", async () => {
    const folder = await tempFolder();
    const store = await open(folder);
    await commit(store, group, put("a", 1), put("b", 1));
    await commit(store, group, expire("none"));
    await commit(store, group, { kind: "delete", itemId: "a", cause: "evicted" });
    await store.close();
    expect(await onDisk(folder)).toEqual({ records: 0, format: "5" });
  });

  it("are in the record of their item; an item without one has the earlier form of record", () => {
    const item = {
      ...{ itemId: "a", value: Value.of(1), revision: 1, author: "" },
      ...{ createTimeMs: 0, updateTimeMs: 0 },
    };
    const hex = (lifetime?: { expireTimeMs: number | undefined; connection: string | undefined }) =>
      encodeItem({ ...item, lifetime }).toString("hex", 28);
    expect(hex()).toBe("00016131");
    expect(hex({ expireTimeMs: 1_700_000_000_000, connection: undefined })).toBe(
      "4001610000018bcfe568000031",
    );
    expect(hex({ expireTimeMs: undefined, connection: "C" })).toBe("4001610000000000000000014331");
  });
});
