import { describe, expect, it, onTestFinished } from "vitest";
import type { Store } from "../../../src/core/store.ts";
import { Evictor } from "../../../src/streams/evictor.ts";
import {
  type OpenStore,
  commit,
  contents,
  groupOf,
  listen,
  plain,
  put,
  remove,
} from "./fixture.ts";
import { storesOf } from "./setup.ts";

const MOST = 5;

/** Limits of items, which the evictor keeps over any store. */
export function describeEviction(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room", "capped");

  function evictorOver(store: Pick<Store, "list" | "run" | "allGroups">): Evictor {
    const maxItemsOf = (stream: string) => (stream === "capped" ? MOST : undefined);
    const evictor = new Evictor({ store, maxItemsOf, firing: () => undefined });
    onTestFinished(() => evictor.close());
    return evictor;
  }
  const ids = async (store: Store) => (await contents(store, group)).map(([itemId]) => itemId);
  const itemsFrom = (first: number, count: number) =>
    Array.from({ length: count }, (_, i) => put(`i${first + i}`, i));

  describe("a limit of items", () => {
    it("deletes the items that were created first, as ordinary changes, within a second", async () => {
      const { store } = await stores();
      const evictor = evictorOver(store);
      const { events, received } = await listen(store, group);
      await commit(store, group, ...itemsFrom(0, MOST));
      await commit(store, group, put("i0", "updated"), put("i9", 9), put("i8", 8));
      const start = performance.now();
      evictor.note(group);
      await received(MOST + 5);
      expect(performance.now() - start).toBeLessThan(1000);
      expect(events.slice(-2).map(plain)).toMatchObject([
        { type: "delete", itemId: "i0", value: "updated", position: { revision: MOST + 4 } },
        { type: "delete", itemId: "i1", value: 1, position: { revision: MOST + 5 } },
      ]);
      expect(await ids(store)).toEqual(["i2", "i3", "i4", "i9", "i8"]);
    });

    it("deletes thousands in steps, and leaves groups within the limit and other streams alone", async () => {
      const { store } = await stores();
      const evictor = evictorOver(store);
      const other = groupOf("room", "other");
      const small = groupOf("small", "capped");
      for (let i = 0; i < 3; i++) await commit(store, group, ...itemsFrom(i * 700, 700));
      for (const key of [other, small]) await commit(store, key, ...itemsFrom(0, MOST));
      await commit(store, other, put("more", 1));
      for (const key of [group, other, small]) evictor.note(key);
      await expect.poll(() => ids(store), { timeout: 10_000 }).toHaveLength(MOST);
      expect(await ids(store)).toEqual(itemsFrom(2095, MOST).map(({ itemId }) => itemId));
      expect(await contents(store, other)).toHaveLength(MOST + 1);
      expect(await contents(store, small)).toHaveLength(MOST);
    });

    it("deletes each item once, however many processes evict", async () => {
      const { store } = await stores();
      const evictors = [evictorOver(store), evictorOver(store), evictorOver(store)];
      const { events, received } = await listen(store, group);
      for (let round = 0; round < 5; round++) {
        await commit(store, group, ...itemsFrom(round * 40, 40));
        for (const evictor of evictors) evictor.note(group);
      }
      await received(200 + 195);
      await Promise.all(evictors.map((evictor) => evictor.close()));
      expect(await ids(store)).toEqual(itemsFrom(195, MOST).map(({ itemId }) => itemId));
      expect(
        events.filter((event) => event.kind === "change" && event.type === "delete"),
      ).toHaveLength(195);
    });

    it("leaves an item that changes meanwhile, and an item of another epoch", async () => {
      const { store } = await stores();
      let meddle: (() => Promise<unknown>) | undefined = () =>
        commit(store, group, put("i0", "again"), remove("i4"));
      const evictor = evictorOver({
        list: (...args) => store.list(...args),
        allGroups: (page) => store.allGroups(page),
        async run(key, commits) {
          const act = meddle;
          meddle = undefined;
          await act?.();
          return store.run(key, commits);
        },
      });
      await commit(store, group, ...itemsFrom(0, MOST + 1));
      evictor.note(group);
      await expect.poll(() => meddle).toBeUndefined();
      await evictor.close();
      expect(await ids(store)).toEqual(["i0", "i1", "i2", "i3", "i5"]);
    });

    it("is enforced after a start, when it is lower than before", async () => {
      const { store } = await stores();
      const groups = Array.from({ length: 150 }, (_, i) => groupOf(`g${i}`, "capped"));
      for (const key of groups) await commit(store, key, ...itemsFrom(0, MOST + 2));
      await evictorOver(store).scan();
      const counts = async () => {
        const pages = await Promise.all(
          groups.map((key) => store.list(key, { maxCount: 1, maxBytes: 1 })),
        );
        return pages.every(({ itemCount }) => itemCount === MOST);
      };
      await expect.poll(counts, { timeout: 10_000 }).toBe(true);
    });

    it("is enforced once a store works again", async () => {
      const { store } = await stores();
      let failures = 2;
      const evictor = evictorOver({
        list: (key, page) =>
          failures-- > 0 ? Promise.reject(new Error("down")) : store.list(key, page),
        run: (...args) => store.run(...args),
        allGroups: (page) => store.allGroups(page),
      });
      await commit(store, group, ...itemsFrom(0, MOST + 1));
      evictor.note(group);
      await expect.poll(() => ids(store), { timeout: 10_000 }).toHaveLength(MOST);
    });
  });
}
