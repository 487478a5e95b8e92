import { describe, expect, it } from "vitest";
import type { ItemName, Lifetime } from "../../../src/core/lifetime.ts";
import type { ItemCondition, Mutation, Store } from "../../../src/core/store.ts";
import type { OpenStore } from "./fixture.ts";
import {
  commit,
  contents,
  groupOf,
  listen,
  mark,
  put,
  refusal,
  remove,
  testClock,
} from "./fixture.ts";
import { record } from "./outbox.ts";
import { storesOf } from "./setup.ts";

const group = groupOf("room");

/** The connections that items are bound to, sorted, read in pages. */
export async function connectionsIn({ lifetimes }: Store, limit: number): Promise<string[]> {
  const found = new Set<string>();
  let from: string | undefined;
  do {
    const page = await lifetimes.connections({ from, limit });
    expect(page.connections.length).toBeLessThanOrEqual(limit);
    for (const connection of page.connections) found.add(connection);
    from = page.next;
  } while (from !== undefined);
  return Array.from(found).toSorted();
}

/** A put of an item with a lifetime. */
export function mortal(itemId: string, lifetime: Lifetime | undefined, value = 1): Mutation {
  return { ...put(itemId, value), lifetime } as Mutation;
}

/** An update of an item, with new parts of its lifetime, and a lifetime where it creates one. */
function update(itemId: string, lifetime?: Lifetime, initialLifetime?: Lifetime): Mutation {
  return { ...mark(itemId, "x"), lifetime, initialLifetime } as Mutation;
}

/** A delete by the service. */
export function expire(itemId: string, onlyIf?: ItemCondition): Mutation {
  return { kind: "delete", itemId, cause: "expired", onlyIf };
}

/** Names of items, `group/item`, sorted. */
function names(items: readonly ItemName[]): string[] {
  return namesInOrder(items).sort();
}

function namesInOrder(items: readonly ItemName[]): string[] {
  return items.map((item) => `${item.group.groupId}/${item.itemId}`);
}

async function lifetimeOf(store: Store, itemId: string) {
  return (await store.get(group, itemId)).item?.lifetime;
}

/** Lifetimes of items. */
export function describeLifetimes(open: OpenStore): void {
  const stores = storesOf(open);

  describe("lifetimes", () => {
    it("end a time after the commit, and are those of the item in get, list and snapshots", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, mortal("a", { ttlMs: 5000 }), put("b", 1));
      clock.nowMs += 100;
      await commit(store, group, mortal("c", { ttlMs: 1000, connection: "C" }));
      const a = { expireTimeMs: clock.nowMs + 4900, connection: undefined };
      const c = { expireTimeMs: clock.nowMs + 1000, connection: "C" };
      expect(await lifetimeOf(store, "a")).toEqual(a);
      expect(await lifetimeOf(store, "b")).toBeUndefined();
      const limits = { maxCount: 10, maxBytes: 1e6 };
      const listed = (await store.list(group, limits)).items;
      expect(listed.map(({ lifetime }) => lifetime)).toEqual([a, undefined, c]);
      const reader = await store.snapshot(group);
      expect((await reader.next(limits)).items.map(({ lifetime }) => lifetime)).toEqual([
        a,
        undefined,
        c,
      ]);
      reader.close();
    });

    it("are listed from their end on, the longest overdue first, until the item is deleted", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, mortal("late", { ttlMs: 3000 }), mortal("soon", { ttlMs: 1000 }));
      await commit(store, groupOf("other"), mortal("next", { ttlMs: 2000 }));
      expect(await store.lifetimes.expired(10)).toEqual([]);
      clock.nowMs += 999;
      expect(await store.lifetimes.expired(10)).toEqual([]);
      clock.nowMs += 1;
      expect(names(await store.lifetimes.expired(10))).toEqual(["room/soon"]);
      clock.nowMs += 5000;
      const overdue = await store.lifetimes.expired(10);
      expect(namesInOrder(overdue)).toEqual(["room/soon", "other/next", "room/late"]);
      expect(overdue[0]?.expireTimeMs).toBe((await lifetimeOf(store, "soon"))?.expireTimeMs);
      expect(names(await store.lifetimes.expired(2))).toEqual(["other/next", "room/soon"]);
      await commit(store, group, remove("soon"));
      await commit(store, groupOf("other"), expire("next"));
      expect(names(await store.lifetimes.expired(10))).toEqual(["room/late"]);
    });

    it("are replaced by a put, with one or without", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, mortal("a", { ttlMs: 1000, connection: "C" }));
      await commit(store, group, mortal("b", { ttlMs: 1000 }));
      clock.nowMs += 500;
      await commit(store, group, put("a", 2), mortal("b", { ttlMs: 1000 }));
      expect(await lifetimeOf(store, "a")).toBeUndefined();
      clock.nowMs += 500;
      expect(await store.lifetimes.expired(10)).toEqual([]);
      expect(await store.lifetimes.boundTo("C", 10)).toEqual([]);
      clock.nowMs += 500;
      expect(names(await store.lifetimes.expired(10))).toEqual(["room/b"]);
    });

    it("are kept by an update, part by part, unless it has a new one", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      const start = clock.nowMs;
      await commit(store, group, mortal("a", { ttlMs: 9000, connection: "C" }));
      clock.nowMs += 10;
      await commit(store, group, update("a"));
      expect(await lifetimeOf(store, "a")).toEqual({ expireTimeMs: start + 9000, connection: "C" });
      await commit(store, group, update("a", { ttlMs: 1000 }));
      const sooner = { expireTimeMs: start + 1010, connection: "C" };
      expect(await lifetimeOf(store, "a")).toEqual(sooner);
      await commit(store, group, update("a", { connection: "D" }));
      expect(await lifetimeOf(store, "a")).toEqual({ ...sooner, connection: "D" });
      expect(await store.lifetimes.boundTo("C", 10)).toEqual([]);
      expect(names(await store.lifetimes.boundTo("D", 10))).toEqual(["room/a"]);
      clock.nowMs = start + 1010;
      expect(names(await store.lifetimes.expired(10))).toEqual(["room/a"]);
    });

    it("begin with the update that creates the item, by its initial lifetime", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, update("a", undefined, { ttlMs: 2000 }));
      await commit(store, group, update("b", { connection: "C" }, { ttlMs: 2000 }));
      await commit(store, group, update("c", { ttlMs: 1000 }, { ttlMs: 2000 }));
      const expireTimeMs = clock.nowMs + 2000;
      expect(await lifetimeOf(store, "a")).toEqual({ expireTimeMs, connection: undefined });
      expect(await lifetimeOf(store, "b")).toEqual({ expireTimeMs, connection: "C" });
      expect((await lifetimeOf(store, "c"))?.expireTimeMs).toBe(clock.nowMs + 1000);
      clock.nowMs += 1000;
      await commit(store, group, update("a", undefined, { ttlMs: 2000 }));
      expect(await lifetimeOf(store, "a")).toEqual({ expireTimeMs, connection: undefined });
    });

    it("bound to a connection are found by it, over all groups, until the item is deleted", async () => {
      const { store } = await stores();
      await commit(
        store,
        group,
        mortal("a", { connection: "C" }),
        mortal("b", { connection: "D" }),
      );
      await commit(store, groupOf("room", "other"), mortal("a", { connection: "C" }));
      expect(names(await store.lifetimes.boundTo("C", 10))).toEqual(["room/a", "room/a"]);
      expect(await store.lifetimes.boundTo("C", 1)).toHaveLength(1);
      expect(names(await store.lifetimes.boundTo("C", 10, [group]))).toContain("room/a");
      expect(await store.lifetimes.boundTo("x", 10)).toEqual([]);
      expect(await connectionsIn(store, 10)).toEqual(["C", "D"]);
      await commit(store, group, remove("b"));
      expect(await connectionsIn(store, 10)).toEqual(["C"]);
      expect(await store.lifetimes.boundTo("D", 10)).toEqual([]);
    });

    it("are of connections that are listed in pages, also when one of them has more items than a page", async () => {
      const { store } = await stores();
      const groups = Array.from({ length: 9 }, (_, i) => groupOf(`g${i}`));
      for (const each of groups) {
        const items = ["a", "b", "c", "d"].map((id) => mortal(id, { connection: "many" }));
        await commit(store, each, ...items, mortal("e", { connection: `of ${each.groupId}` }));
      }
      const all = ["many", ...groups.map(({ groupId }) => `of ${groupId}`)];
      for (const limit of [1, 2, 3, 100]) expect(await connectionsIn(store, limit)).toEqual(all);
    });

    it("end in a change with a cause, in the log and in the feed; other changes have none", async () => {
      const { store } = await stores();
      const recorder = await listen(store, group);
      await commit(
        store,
        group,
        mortal("a", { ttlMs: 1000 }),
        put("b", 1),
        put("c", 1),
        put("d", 1),
      );
      await commit(store, group, expire("a"));
      await commit(store, group, { kind: "delete", itemId: "b", cause: "disconnected" });
      await commit(store, group, { kind: "delete", itemId: "c", cause: "evicted" }, remove("d"));
      const causes = ["expired", "disconnected", "evicted", undefined];
      await recorder.received(8);
      expect(recorder.events).toMatchObject([
        ...Array.from({ length: 4 }, () => ({ type: "create", cause: undefined })),
        ...causes.map((cause) => ({ type: "delete", cause })),
      ]);
      const [head] = await store.heads([group]);
      const from = { epoch: head?.position.epoch ?? "", revision: 4 };
      const replay = await store.since(group, from, { maxCount: 10, maxBytes: 1e6 });
      if (replay.lost) throw new Error("The log is lost.");
      expect(replay.changes.map(({ cause }) => cause)).toEqual(causes);
    });

    it("end only as they were read: a delete by the service changes nothing if the item has changed", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, mortal("a", { ttlMs: 1000, connection: "C" }));
      const read = (await lifetimeOf(store, "a"))!;
      const { position } = await commit(store, group, update("a", { ttlMs: 5000 }));
      const wrong: ItemCondition[] = [
        { expireTimeMs: read.expireTimeMs },
        { connection: "D" },
        { revision: 1 },
        { expireTimeMs: clock.nowMs + 5000, revision: 1 },
      ];
      for (const condition of wrong) {
        const done = await commit(store, group, expire("a", condition), expire("b", condition));
        expect(done.position).toEqual(position);
        expect(done.results).toMatchObject([{ revision: undefined }, { revision: undefined }]);
      }
      expect(await contents(store, group)).toHaveLength(1);
      const right = { expireTimeMs: clock.nowMs + 5000, connection: "C", revision: 2 };
      expect((await commit(store, group, expire("a", right))).position.revision).toBe(3);
      expect(await contents(store, group)).toEqual([]);
    });

    it("end by the creation of the item: an update does not matter, a later item with its id stays", async () => {
      const { store } = await stores();
      await commit(store, group, put("first", 1));
      await commit(store, group, put("a", 1), put("b", 1));
      await commit(store, group, mark("a", "x"), put("b", 2));
      const of = (itemId: string, maxCreatedRevision: number) =>
        expire(itemId, { maxCreatedRevision });
      const early = await commit(store, group, of("a", 1), of("b", 2), of("none", 9));
      expect(early.results.map(({ revision }) => revision)).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect(early.position.revision).toBe(5);
      const both = { maxCreatedRevision: 2, revision: 2 };
      expect((await commit(store, group, expire("a", both))).position.revision).toBe(5);
      expect((await commit(store, group, of("a", 2), of("b", 5))).position.revision).toBe(7);
      await commit(store, group, put("a", 3));
      expect((await commit(store, group, of("a", 7))).position.revision).toBe(8);
      // Beside a step that the store decides in another way: an update reads the item first.
      const mixed = await commit(store, group, of("a", 7), mark("first", "x"), of("first", 1));
      expect(mixed.results.map(({ revision }) => revision)).toEqual([undefined, 9, 10]);
      expect((await contents(store, group)).map(([itemId]) => itemId)).toEqual(["a"]);
      // The item that a commit itself creates is later than anything that was read.
      const own = await commit(store, group, put("new", 1), of("new", 10), of("a", 8));
      expect(own.results.map(({ revision }) => revision)).toEqual([11, undefined, 12]);
    });

    it("are unaffected by refused commits, and by changes made outside", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, mortal("a", { ttlMs: 1000 }));
      await refusal(store, group, [put("a", 2)], { expectedEpoch: "wrong" });
      await commit(store, group, record("a", 1, 2));
      expect(await lifetimeOf(store, "a")).toMatchObject({ expireTimeMs: clock.nowMs + 1000 });
      clock.nowMs += 1000;
      expect(names(await store.lifetimes.expired(10))).toEqual(["room/a"]);
    });

    it("follow a wall clock that is set back: they end later by as much", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, mortal("a", { ttlMs: 1000 }));
      clock.nowMs -= 5000;
      await commit(store, group, mortal("b", { ttlMs: 1000 }));
      clock.nowMs += 1000;
      expect(names(await store.lifetimes.expired(10))).toEqual(["room/b"]);
      clock.nowMs += 5000;
      expect(names(await store.lifetimes.expired(10))).toEqual(["room/a", "room/b"]);
    });
  });
}
