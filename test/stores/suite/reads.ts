import { describe, expect, it } from "vitest";
import type { Item } from "../../../src/core/change.ts";
import type { SnapshotPage, SnapshotReader } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import { ALL, brief, commit, contents, groupOf, put, remove } from "./fixture.ts";
import { storesOf } from "./setup.ts";

/** Reads of one group. */
export function describeReads(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");
  const ids = (items: readonly Item[]) => items.map(({ itemId }) => itemId);
  const numbered = (count: number) => Array.from({ length: count }, (_, i) => put(`i${i}`, i));

  describe("reads", () => {
    it("returns a group that was never written as empty and at the origin", async () => {
      const { store } = await stores();
      const origin = { epoch: "", revision: 0 };
      expect(await store.get(group, "a")).toEqual({
        position: origin,
        timestamp: 0,
        syncTimestamp: expect.any(Number) as unknown,
        item: undefined,
      });
      expect(await store.heads([group])).toEqual([{ position: origin, timestamp: 0 }]);
      expect(await store.list(group, ALL)).toEqual({
        items: [],
        position: origin,
        itemCount: 0,
        next: undefined,
      });
      expect(await store.since(group, origin, ALL)).toEqual({
        lost: false,
        changes: [],
        head: origin,
      });
      const reader = await store.snapshot(group);
      expect(await reader.next(ALL)).toEqual({
        items: [],
        position: origin,
        timestamp: 0,
        syncTimestamp: expect.any(Number) as unknown,
        done: true,
      });
      reader.close();
    });

    it("reads an item together with its group's head", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", "x"));
      const { position } = await commit(store, group, put("b", "y"));
      const [head] = await store.heads([group]);
      const read = await store.get(group, "a");
      expect(read).toMatchObject({
        position,
        timestamp: head?.timestamp,
        item: { itemId: "a", revision: 1 },
      });
      expect(await store.get(group, "c")).toMatchObject({ position, item: undefined });
    });

    it("returns the heads of groups in the requested order", async () => {
      const { store } = await stores();
      await commit(store, groupOf("one"), put("a", 1));
      await commit(store, groupOf("two"), put("a", 1), put("b", 1));
      const heads = await store.heads([
        groupOf("two"),
        groupOf("none"),
        groupOf("one"),
        groupOf("two"),
      ]);
      expect(heads.map(({ position }) => position.revision)).toEqual([2, 0, 1, 2]);
    });

    it("sees every write acknowledged before (G10)", async () => {
      const { store } = await stores();
      const writes = Array.from({ length: 50 }, async (_, i) => {
        const { position } = await commit(store, group, put(`i${i}`, i));
        const { item } = await store.get(group, `i${i}`);
        expect(item?.value.json()).toBe(i);
        const [head] = await store.heads([group]);
        expect(head?.position.revision).toBeGreaterThanOrEqual(position.revision);
        expect(ids((await store.list(group, ALL)).items)).toContain(`i${i}`);
      });
      await Promise.all(writes);
    });

    it("lists items in creation order, a re-created one last", async () => {
      const { store } = await stores();
      await commit(store, group, put("c", 1), put("a", 1), put("b", 1), put("d", 1));
      await commit(store, group, put("c", 2));
      await commit(store, group, remove("a"));
      await commit(store, group, put("a", 2));
      await commit(store, group, remove("b"), put("b", 2));
      expect(await contents(store, group)).toEqual([
        ["c", 2],
        ["d", 1],
        ["a", 2],
        ["b", 2],
      ]);
    });

    it("ends a page by count or by bytes, with at least one item", async () => {
      const { store } = await stores();
      const { size } = Value.of("0123456789");
      await commit(
        store,
        group,
        ...Array.from({ length: 5 }, (_, i) => put(`i${i}`, "0123456789")),
      );
      const two = await store.list(group, { maxCount: 2, maxBytes: 1e9 });
      expect(ids(two.items)).toEqual(["i0", "i1"]);
      const three = await store.list(group, { maxCount: 10, maxBytes: 3 * size, after: two.next });
      expect(ids(three.items)).toEqual(["i2", "i3", "i4"]);
      expect(three.next).toBeUndefined();
      const one = await store.list(group, { maxCount: 10, maxBytes: 1 });
      expect(ids(one.items)).toEqual(["i0"]);
      expect(one.next).toBeDefined();
    });

    it("misses and repeats no item while others are written between the pages", async () => {
      const { store } = await stores();
      await commit(store, group, ...numbered(20));
      const seen: string[] = [];
      let after: string | undefined;
      for (let page = 0; page === 0 || after !== undefined; page++) {
        const { items, next } = await store.list(group, { maxCount: 3, maxBytes: 1e9, after });
        seen.push(...ids(items));
        after = next;
        // Deletes the last item of this page, rewrites one of each later page, creates a new one.
        await commit(
          store,
          group,
          remove(seen.at(-1) ?? ""),
          put("i19", page),
          put(`new${page}`, 1),
        );
        if (page > 30) throw new Error("The listing does not end.");
      }
      const kept = seen.filter((id) => !id.startsWith("new"));
      expect(kept).toEqual(numbered(20).map(({ itemId }) => itemId));
      expect(new Set(seen).size).toBe(seen.length);
    });

    it("refuses a foreign cursor", async () => {
      const { store } = await stores();
      await commit(store, group, put("a", 1));
      await expect(store.list(group, { ...ALL, after: "elsewhere" })).rejects.toMatchObject({
        reason: "PAGE_TOKEN_INVALID",
      });
    });
  });

  describe("snapshots", () => {
    const readAll = async (
      reader: SnapshotReader,
      between: () => Promise<unknown>,
    ): Promise<SnapshotPage[]> => {
      const pages: SnapshotPage[] = [];
      do {
        pages.push(await reader.next({ maxCount: 4, maxBytes: 1e9 }));
        await between();
      } while (pages.at(-1)?.done === false);
      reader.close();
      return pages;
    };

    it("reads all items in creation order, each page within the limits", async () => {
      const { store } = await stores();
      const { position } = await commit(store, group, ...numbered(10));
      const [head] = await store.heads([group]);
      const pages = await readAll(await store.snapshot(group), async () => {});
      expect(pages.map(({ items }) => items.length)).toEqual([4, 4, 2]);
      expect(pages.flatMap(({ items }) => items.map(brief))).toEqual(
        numbered(10).map((mutation, i) => [mutation.itemId, i]),
      );
      for (const page of pages)
        expect(page).toMatchObject({ position, timestamp: head?.timestamp });
    });

    it("has one position on all pages of a stable reader while others write", async () => {
      const { store } = await stores();
      const { position } = await commit(store, group, ...numbered(10));
      const reader = await store.snapshot(group);
      const pages = await readAll(reader, () =>
        commit(store, group, put("i9", "new"), remove("i5"), put("late", 1)),
      );
      const ends = pages.map((page) => page.position.revision);
      expect(ends.toSorted((a, b) => a - b)).toEqual(ends);
      if (!reader.stable) return;
      for (const page of pages) expect(page.position).toEqual(position);
      expect(pages.flatMap(({ items }) => items.map(brief))).toEqual(
        numbered(10).map((mutation, i) => [mutation.itemId, i]),
      );
    });

    it("misses and repeats no untouched item while others write", async () => {
      const { store } = await stores();
      await commit(store, group, ...numbered(30));
      let round = 0;
      const pages = await readAll(await store.snapshot(group), () =>
        commit(store, group, put("i0", round++), remove(`i${round * 3}`)),
      );
      const seen = pages.flatMap(({ items }) => ids(items));
      const untouched = numbered(30)
        .map(({ itemId }) => itemId)
        .filter((id) => Number(id.slice(1)) % 3 !== 0);
      expect(seen.filter((id) => untouched.includes(id))).toEqual(untouched);
    });

    it("skips pages that another reader has read, where it can", async () => {
      const { store } = await stores();
      await commit(store, group, ...numbered(10));
      const limits = { maxCount: 4, maxBytes: 1e9 };
      const [one, other] = [await store.snapshot(group), await store.snapshot(group)];
      expect(other.skip === undefined).toBe(other.head === undefined);
      const first = await one.next(limits);
      if (other.skip === undefined) expect(await other.next(limits)).toEqual(first);
      else {
        expect(other.head).toMatchObject({ position: first.position, timestamp: first.timestamp });
        expect(other.skip(first)).toBe(true);
      }
      const second = await one.next(limits);
      expect(await other.next(limits)).toEqual(second);
      const third = await one.next(limits);
      expect(third.done).toBe(true);
      if (other.skip !== undefined) expect(other.skip(third)).toBe(true);
      for (const reader of [one, other]) reader.close();
      expect(other.skip?.(third) ?? false).toBe(false);
    });

    it("supports concurrent readers, and closes idempotently", async () => {
      const { store } = await stores();
      await commit(store, group, ...numbered(8));
      const readers = await Promise.all(Array.from({ length: 5 }, () => store.snapshot(group)));
      const all = await Promise.all(readers.map((reader) => readAll(reader, async () => {})));
      for (const pages of all) expect(pages.flatMap(({ items }) => items)).toHaveLength(8);
      for (const reader of readers) reader.close();
    });
  });
}
