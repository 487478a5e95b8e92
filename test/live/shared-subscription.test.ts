import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { PART_LIMITS } from "../../src/live/state-part.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { GROUP, createGate, fill, idsOf, openShared, put, round, turns } from "./shared-setup.ts";
import { bound } from "./unreliable-feed.ts";

let store: Store;
beforeEach(() => {
  store = memoryStore();
});
afterEach(() => store.close());

describe("overlapping members", () => {
  test("receive each change once, in order, and have the state of the items they follow (G2, G3)", async () => {
    const { reader, join } = openShared(store);
    await put(store, "a", 1);
    const views = [await join(), await join("a"), await join("b"), await join()];
    const before = reader.count;
    await put(store, "a", 2);
    await put(store, "b", 3);
    await put(store, "c", 4);
    expect(reader.drain()).toBe(3);
    expect(reader.count).toBe(before + 3);
    expect(views.map(({ state }) => Object.fromEntries(state))).toEqual([
      { a: "2", b: "3", c: "4" },
      { a: "2" },
      { b: "3" },
      { a: "2", b: "3", c: "4" },
    ]);
  });

  test("get no event that none of them follows", async () => {
    const { reader, join } = openShared(store);
    await join("a");
    await join("b");
    await put(store, "c", 1);
    await store.broadcast(GROUP, { type: "t", itemId: undefined, value: Value.of(1) });
    await store.broadcast(GROUP, { type: "t", itemId: "c", value: Value.of(1) });
    expect(reader.drain()).toBe(0);
    await store.broadcast(GROUP, { type: "t", itemId: "b", value: Value.of("mine") });
    await round();
    expect(reader.drain()).toBe(1);
  });
});

describe("a member that joins while others follow", () => {
  test("gets a snapshot at or after every frame sent before, and then the later changes (G3)", async () => {
    const { reader, join, start } = openShared(store);
    const first = await join();
    await put(store, "a", 1);
    await put(store, "b", 2);
    const { view } = start();
    const kinds: unknown[] = [];
    while (!view.isOpen) {
      const { to, frame } = await reader.next();
      kinds.push(to === undefined ? frame.kind : `${frame.kind} to the second`);
    }
    expect(kinds).toEqual(["change", "change", "sync to the second"]);
    await put(store, "a", 3);
    expect(reader.drain()).toBe(1);
    expect(view.state).toEqual(first.state);
  });

  test("does not wait when the group was never written", async () => {
    const { join } = openShared(store);
    await join();
    expect((await join("a")).position).toEqual({ epoch: "", revision: 0 });
    expect((await join()).state.size).toBe(0);
  });

  test("waits for no later change when no member follows the last ones", async () => {
    const { join } = openShared(store);
    await join("a");
    await put(store, "b", 1);
    await put(store, "c", 2);
    expect((await join("b")).position.revision).toBe(2);
  });

  test("waits for no heartbeat when the feed lost the changes before its snapshot", async () => {
    const { join } = openShared({ ...bound(store), watch: () => Promise.resolve(() => {}) });
    const first = await join();
    await put(store, "a", 1);
    await put(store, "b", 2);
    const second = await join();
    expect(second.position.revision).toBe(2);
    expect(first.state).toEqual(second.state);
  });

  test("misses no change that is committed while its snapshot is read", async () => {
    const gate = createGate();
    const slow: Store = {
      ...bound(store),
      async get(...args) {
        const read = await store.get(...args);
        await gate.pass();
        return read;
      },
    };
    const { reader, join, start } = openShared(slow);
    const first = await join("a");
    gate.close();
    const { view, joined } = start("a");
    await turns();
    for (let i = 1; i <= 5; i++) await put(store, "a", i);
    expect(reader.drain()).toBe(0);
    gate.open();
    const [frame] = [await reader.next(), await joined];
    expect(frame).toMatchObject({ to: view, frame: { position: { revision: 0 } } });
    expect(reader.drain()).toBe(5);
    expect([first.state.get("a"), view.state.get("a")]).toEqual(["5", "5"]);
  });

  test("gets a sync even if it asks to resume, and before the first member has read a frame (G4)", async () => {
    await put(store, "a", 1);
    const before = await openShared(store).join();
    await put(store, "a", 2);
    const { reader, start } = openShared(store);
    const first = start(undefined, before);
    await first.joined;
    const second = start(undefined, before);
    while (!second.view.isOpen) await reader.next();
    expect([first.view.segments, second.view.segments]).toEqual([1, 1]);
    expect(first.view.state).toEqual(second.view.state);
  });

  test("receives no change that its snapshot has when others' missed changes are replayed (G3)", async () => {
    const { reader, join } = openShared(store, () => 0, 2);
    const first = await join("a");
    await store.broadcast(GROUP, { type: "t", itemId: "a", value: Value.of(1) });
    await put(store, "d", 1);
    expect(reader.drain()).toBe(1);
    const second = await join();
    for (let n = 1; n <= 5; n++) await put(store, "a", n);
    while (second.position.revision < 6) await reader.next();
    expect(second.state).toEqual(new Map(Object.entries({ d: "1", a: "5" })));
    expect(first.state.get("a")).toBe("5");
  });

  test("gets a large snapshot part by part, one held at a time, and no other frame in between (G7)", async () => {
    await fill(store, idsOf(2 * PART_LIMITS.maxCount + 5), 1);
    let pages = 0;
    const counting: Store = {
      ...bound(store),
      async snapshot(group) {
        const inner = await store.snapshot(group);
        const { items: all, ...head } = await inner.next({ maxCount: 1e9, maxBytes: 1e9 });
        const items = all.slice();
        return {
          stable: true,
          async next({ maxCount }) {
            pages++;
            const page = items.splice(0, maxCount);
            return { ...head, items: page, done: items.length === 0 };
          },
          close() {},
        };
      },
    };
    const { reader, join, start } = openShared(counting);
    await join("i0");
    const { view } = start();
    await turns();
    expect(pages).toBe(1);
    await put(store, "i0", -1);
    const kinds: string[] = [];
    while (view.state.get("i0") !== "-1") kinds.push((await reader.next()).frame.kind);
    expect(kinds).toEqual(["sync", "sync", "sync", "change"]);
    expect(view.state.size).toBe(2 * PART_LIMITS.maxCount + 5);
  });

  test("waits for its turn: members join one by one", async () => {
    let reading = 0;
    let most = 0;
    const counting: Store = {
      ...bound(store),
      async get(...args) {
        most = Math.max(most, ++reading);
        await turns();
        reading--;
        return store.get(...args);
      },
    };
    const { reader, join, start } = openShared(counting);
    await join();
    const starts = Array.from({ length: 20 }, (_, i) => start(`i${i % 7}`));
    while (starts.some(({ view }) => !view.isOpen)) await reader.next();
    expect(most).toBe(1);
  });
});
