import { describe, expect, it, onTestFinished } from "vitest";
import type { GroupKey } from "../../../src/core/names.ts";
import type { Store } from "../../../src/core/store.ts";
import { Evictor } from "../../../src/streams/evictor.ts";
import {
  type OpenStore,
  commit,
  contents,
  groupOf,
  listen,
  mark,
  plain,
  put,
  remove,
} from "./fixture.ts";
import { storesOf } from "./setup.ts";

const MOST = 5;

type Evicted = Pick<Store, "list" | "run" | "allGroups">;

/** A store in which something happens before each step of the evictor. */
function meddling(
  store: Store,
  { beforeRun }: { beforeRun: (group: GroupKey) => Promise<unknown> },
): Evicted {
  return {
    list: (...args) => store.list(...args),
    allGroups: (page) => store.allGroups(page),
    async run(key, commits) {
      await beforeRun(key);
      return store.run(key, commits);
    },
  };
}

/** Something to wait for. */
function signal() {
  let give = () => {};
  const given = new Promise<void>((resolve) => (give = resolve));
  return { given, give };
}

/** Limits of items, which the evictor keeps over any store. */
export function describeEviction(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room", "capped");

  function evictorOver(store: Evicted): Evictor {
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

    it("deletes the oldest item although it is updated all the time", async () => {
      const { store } = await stores();
      const evictor = evictorOver(
        meddling(store, { beforeRun: () => commit(store, group, mark("i0", "again")) }),
      );
      await commit(store, group, ...itemsFrom(0, MOST + 1));
      const { received } = await listen(store, group);
      evictor.note(group);
      await received(2);
      await evictor.close();
      expect(await ids(store)).toEqual(["i1", "i2", "i3", "i4", "i5"]);
    });

    it("leaves an item that was deleted and created again meanwhile: it is the newest now", async () => {
      const { store } = await stores();
      let isFirst = true;
      const evictor = evictorOver(
        meddling(store, {
          async beforeRun() {
            if (isFirst) await commit(store, group, remove("i0"));
            if (isFirst) await commit(store, group, put("i0", "again"));
            isFirst = false;
          },
        }),
      );
      await commit(store, group, ...itemsFrom(0, MOST + 1));
      evictor.note(group);
      await expect.poll(() => ids(store)).toEqual(["i2", "i3", "i4", "i5", "i0"]);
    });

    it("applies to a group within a second while steps of another one are under way", async () => {
      const { store } = await stores();
      const small = groupOf("small", "capped");
      const reached = signal();
      const free = signal();
      const evictor = evictorOver(
        meddling(store, {
          async beforeRun({ groupId }) {
            if (groupId !== group.groupId) return;
            reached.give();
            await free.given;
          },
        }),
      );
      // Before the evictor is closed, which waits for its steps.
      onTestFinished(free.give);
      await commit(store, group, ...itemsFrom(0, MOST + 1));
      await commit(store, small, ...itemsFrom(0, MOST + 1));
      const { received } = await listen(store, small);
      evictor.note(group);
      await reached.given;
      const start = performance.now();
      evictor.note(small);
      await received(1);
      expect(performance.now() - start).toBeLessThan(1000);
    });

    it("applies to large groups in turn, step by step", async () => {
      const { store } = await stores();
      const large = Array.from({ length: 10 }, (_, i) => groupOf(`large${i}`, "capped"));
      const steps: string[] = [];
      const evictor = evictorOver(
        meddling(store, { beforeRun: async ({ groupId }) => steps.push(groupId) }),
      );
      for (const key of large) await commit(store, key, ...itemsFrom(0, 450));
      for (const key of large) evictor.note(key);
      await expect.poll(() => steps.length, { timeout: 10_000 }).toBe(10 * 5);
      // Before any group has its fourth step, each has had its first.
      const fourth = steps.findIndex(
        (id, at) => steps.slice(0, at).filter((other) => other === id).length === 3,
      );
      expect(new Set(steps.slice(0, fourth)).size).toBe(10);
    });

    it("lets the event loop run between its steps", async () => {
      const { store } = await stores();
      let turn = 0;
      let counter = setImmediate(function count() {
        turn += 1;
        counter = setImmediate(count);
      });
      onTestFinished(() => clearImmediate(counter));
      const stepsOf = new Map<number, number>();
      const evictor = evictorOver(
        meddling(store, {
          async beforeRun() {
            stepsOf.set(turn, (stepsOf.get(turn) ?? 0) + 1);
          },
        }),
      );
      for (let i = 0; i < 3; i++) await commit(store, group, ...itemsFrom(i * 700, 700));
      evictor.note(group);
      await expect.poll(() => ids(store), { timeout: 10_000 }).toHaveLength(MOST);
      expect(Math.max(...stepsOf.values())).toBe(1);
    });

    it("applies to a group within a second while another one fails", async () => {
      const { store } = await stores();
      const small = groupOf("small", "capped");
      const failed = signal();
      const evictor = evictorOver(
        meddling(store, {
          async beforeRun({ groupId }) {
            if (groupId !== group.groupId) return;
            failed.give();
            throw new Error("down");
          },
        }),
      );
      await commit(store, group, ...itemsFrom(0, MOST + 1));
      await commit(store, small, ...itemsFrom(0, MOST + 1));
      const { received } = await listen(store, small);
      evictor.note(group);
      await failed.given;
      const start = performance.now();
      evictor.note(small);
      await received(1);
      expect(performance.now() - start).toBeLessThan(900);
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
