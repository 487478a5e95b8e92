import { describe, expect, it } from "vitest";
import type { Item } from "../../../src/core/change.ts";
import type { SnapshotPage, SnapshotReader, Store } from "../../../src/core/store.ts";
import type { OpenStore } from "./fixture.ts";
import { ALL, commit, groupOf, put, remove } from "./fixture.ts";
import { storesOf } from "./setup.ts";

/** Descending listings, and windows: snapshots of the newest items. */
export function describeWindows(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");
  const ids = (items: readonly Item[]) => items.map(({ itemId }) => itemId);
  const names = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `i${from + i}`);
  const fill = async (store: Store, count: number) => {
    // Neighbours in the order of keys, which no read of the group may reach.
    for (const other of ["roo", "room ", "rooma"])
      await commit(store, groupOf(other), put("before", 0), put("after", 0));
    return commit(store, group, ...names(0, count).map((id, i) => put(id, i)));
  };

  describe("descending listings", () => {
    it("have the newest item first, a re-created one before all older ones", async () => {
      const { store } = await stores();
      await fill(store, 4);
      await commit(store, group, put("i0", "updated"), remove("i1"), put("i1", "again"));
      const { items, next } = await store.list(group, { ...ALL, descending: true });
      expect(ids(items)).toEqual(["i1", "i3", "i2", "i0"]);
      expect(items.at(-1)?.value.json()).toBe("updated");
      expect(next).toBeUndefined();
      const empty = await store.list(groupOf("none"), { ...ALL, descending: true });
      expect(empty).toMatchObject({ items: [], next: undefined });
    });

    it("have pages that end by count or by bytes, with at least one item", async () => {
      const { store } = await stores();
      const { position } = await fill(store, 600);
      const sizes: number[] = [];
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const limits = { maxCount: 250, maxBytes: sizes.length === 1 ? 1 : 1e9 };
        const page = await store.list(group, { ...limits, after, descending: true });
        expect(page.position).toEqual(position);
        sizes.push(page.items.length);
        seen.push(...ids(page.items));
        after = page.next;
      } while (after !== undefined);
      expect(sizes).toEqual([250, 1, 250, 99]);
      expect(seen).toEqual(names(0, 600).reverse());
    });

    it("miss and repeat no item while others are written between the pages", async () => {
      const { store } = await stores();
      await fill(store, 20);
      const seen: string[] = [];
      let after: string | undefined;
      for (let page = 0; page === 0 || after !== undefined; page++) {
        const found = await store.list(group, {
          ...{ maxCount: 3, maxBytes: 1e9 },
          ...{ after, descending: true },
        });
        seen.push(...ids(found.items));
        after = found.next;
        // Deletes the last item of this page, rewrites one of the last page, creates a new one.
        const last = seen.at(-1) ?? "";
        await commit(store, group, remove(last), put("i0", page), put(`new${page}`, 1));
      }
      expect(seen).toEqual(names(0, 20).reverse());
    });

    it("refuse a foreign cursor", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1));
      await expect(
        store.list(group, { ...ALL, after: "elsewhere", descending: true }),
      ).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    });
  });

  describe("windows", () => {
    const readAll = async (
      reader: SnapshotReader,
      maxCount = 1000,
      between = async (): Promise<unknown> => undefined,
    ): Promise<SnapshotPage[]> => {
      const pages = [await reader.next({ maxCount, maxBytes: 1e9 })];
      while (pages.at(-1)?.done === false) {
        await between();
        pages.push(await reader.next({ maxCount, maxBytes: 1e9 }));
      }
      reader.close();
      return pages;
    };

    it.each([
      [1, 10],
      [3, 10],
      [9, 10],
      [10, 10],
      [11, 10],
      [10_000, 10],
      [Infinity, 10],
      [700, 1500],
      [5, 0],
      [Infinity, 0],
    ])("of %d items have the newest of %d in creation order", async (window, count) => {
      const { store } = await stores();
      if (count > 0) await fill(store, count);
      const pages = await readAll(await store.snapshot(group, window), 300);
      const first = Math.max(0, count - window);
      expect(pages.flatMap(({ items }) => ids(items))).toEqual(names(first, count));
      for (const page of pages) {
        expect(page.window?.total).toBe(count);
        expect(page.window?.places).toHaveLength(page.items.length);
      }
    });

    it("name the place of each item, where a descending listing continues", async () => {
      const { store } = await stores();
      await fill(store, 9);
      await commit(store, group, remove("i4"), remove("i6"), put("i6", "again"));
      const pages = await readAll(await store.snapshot(group, 4), 3);
      expect(pages.flatMap(({ items }) => ids(items))).toEqual(["i5", "i7", "i8", "i6"]);
      const places = pages.flatMap((page) => page.window?.places ?? []);
      // The items at the places may be gone by then.
      await commit(store, group, remove("i5"), remove("i7"));
      const from = async (after: string | undefined) =>
        ids((await store.list(group, { ...ALL, after, descending: true })).items);
      expect(await from(places[0])).toEqual(["i3", "i2", "i1", "i0"]);
      expect(await from(places[3])).toEqual(["i8", "i3", "i2", "i1", "i0"]);
    });

    it("miss and repeat no untouched item while others write", async () => {
      const { store } = await stores();
      await fill(store, 40);
      let round = 0;
      const pages = await readAll(await store.snapshot(group, 20), 4, () =>
        commit(store, group, put("i39", round++), remove(`i${21 + round}`), put(`n${round}`, 0)),
      );
      const seen = pages.flatMap(({ items }) => ids(items));
      const untouched = names(26, 40);
      expect(seen.filter((id) => untouched.includes(id))).toEqual(untouched);
      expect(new Set(seen).size).toBe(seen.length);
      for (const id of names(0, 20)) expect(seen).not.toContain(id);
    });

    it("have pages that another reader of the same window can skip, where it can", async () => {
      const { store } = await stores();
      await fill(store, 20);
      const limits = { maxCount: 4, maxBytes: 1e9 };
      const [one, other] = [await store.snapshot(group, 10), await store.snapshot(group, 10)];
      const first = await one.next(limits);
      if (other.skip?.(first) !== true) expect(await other.next(limits)).toEqual(first);
      const second = await one.next(limits);
      expect(await other.next(limits)).toEqual(second);
      expect(ids(second.items)).toEqual(names(14, 18));
      for (const reader of [one, other]) reader.close();
    });
  });
}
