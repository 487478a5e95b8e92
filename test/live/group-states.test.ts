import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { SyncFrame } from "../../src/core/frame.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { GroupStates } from "../../src/live/group-states.ts";
import { SnapshotPartCache } from "../../src/live/snapshot-part-cache.ts";
import type { StateReader } from "../../src/live/state-reader.ts";
import { openLmdbStore } from "../../src/stores/lmdb/lmdb-store.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { GROUP, createGate, idsOf, put, turns } from "./shared-setup.ts";
import { tempFolders } from "../stores/lmdb/temp-folder.ts";
import { bound } from "./unreliable-feed.ts";

let inner: Store;
let snapshots: number;
let failsNext: boolean;
const gate = createGate();
let states: GroupStates;
let parts: SnapshotPartCache;
beforeEach(async () => {
  inner = memoryStore();
  snapshots = 0;
  parts = new SnapshotPartCache();
  failsNext = false;
  const store: Store = {
    ...bound(inner),
    async snapshot(group, window) {
      snapshots++;
      const fails = failsNext;
      failsNext = false;
      const reader = await inner.snapshot(group, window);
      await gate.pass();
      if (fails) throw new StreamError("STORE_UNAVAILABLE", "The store is away.");
      return reader;
    },
  };
  states = new GroupStates(store, GROUP, () => parts);
  await put(inner, "a", 1);
});
afterEach(async () => {
  gate.open();
  vi.useRealTimers();
  await inner.close();
});

describe("concurrent readers of a group's state", () => {
  test("get the same frame, read once", async () => {
    gate.close();
    const reads = [1, 2, 3].map(() => states.readGroup().next());
    gate.open();
    const [first, ...others] = await Promise.all(reads);
    for (const frame of others) expect(frame).toBe(first);
    expect(snapshots).toBe(1);
  });

  test("each get every write that was acknowledged before their request (G10)", async () => {
    gate.close();
    const early = states.readGroup().next();
    await turns();
    await put(inner, "b", 2);
    const late = [1, 2].map(() => states.readGroup().next());
    gate.open();
    await early;
    for (const frame of await Promise.all(late))
      expect(frame.items.map(({ itemId }) => itemId)).toEqual(["a", "b"]);
  });

  test("get a new state after a transient event, with a later timestamp", async () => {
    const before = await states.readGroup().next();
    await inner.broadcast(GROUP, { type: "t", itemId: undefined, value: Value.of(1) });
    expect((await states.readGroup().next()).timestamp).toBeGreaterThan(before.timestamp);
  });

  test("do not fail when the read of one of them fails", async () => {
    gate.close();
    failsNext = true;
    const unlucky = states.readGroup().next();
    const other = states.readGroup().next();
    gate.open();
    await expect(unlucky).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect((await other).items).toHaveLength(1);
  });

  test("get the same parts of a large state, read once, each at their own pace", async () => {
    for (let i = 0; i < 2001; i++) await inner.run(GROUP, [mutation(`i${i}`)]);
    const [quick, slow] = [states.readGroup(), states.readGroup()];
    const frames = await readAll(quick);
    expect(frames.map(({ items }) => items.length)).toEqual([1000, 1000, 2]);
    expect(frames.map(({ first, last }) => [first, last])).toEqual([
      [true, false],
      [false, false],
      [false, true],
    ]);
    const others = await readAll(slow);
    expect(others).toHaveLength(3);
    others.forEach((frame, i) => expect(frame).toBe(frames[i]));
    expect(snapshots).toBe(1);
  });

  test("share the state of a window with those of the same window only", async () => {
    for (const itemId of ["b", "c"]) await put(inner, itemId, 1);
    const windows = [1, 2, undefined, Infinity, 2];
    const frames = await Promise.all(windows.map((window) => states.readGroup(window).next()));
    expect(frames.map(({ items }) => items.length)).toEqual([1, 2, 3, 3, 2]);
    expect(frames[4]).toBe(frames[1]);
    expect(snapshots).toBe(4);
  });

  test("of many windows at the same time get what they asked for", async () => {
    for (let i = 0; i < 30; i++) await inner.run(GROUP, [mutation(`i${i}`)]);
    const sizes = Array.from({ length: 30 }, (_, i) => i + 1);
    const frames = await Promise.all(sizes.map((window) => states.readGroup(window).next()));
    expect(frames.map(({ items }) => items.length)).toEqual(sizes);
  });

  test("do not share a state for longer than a second", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await states.readGroup().next();
    await states.readGroup().next();
    expect(snapshots).toBe(1);
    vi.advanceTimersByTime(1000);
    await states.readGroup().next();
    expect(snapshots).toBe(2);
  });
});

describe("concurrent readers of a large state of a store with stable snapshots", () => {
  const tempFolder = tempFolders();
  let store: Store;
  beforeEach(async () => {
    store = await openLmdbStore({ folder: await tempFolder() });
    const mutations = Array.from({ length: 2001 }, (_, i) => mutation(`i${i}`).mutations).flat();
    for (let i = 0; i < mutations.length; i += 500)
      await store.run(GROUP, [{ mutations: mutations.slice(i, i + 500) }]);
    states = new GroupStates(store, GROUP, () => parts);
  });
  afterEach(() => store.close());

  test("get the same parts while they keep pace", async () => {
    const readers = [states.readGroup(), states.readGroup(), states.readGroup()];
    for (let last = false; !last;) {
      const frames: SyncFrame[] = [];
      for (const reader of readers) frames.push(await reader.next());
      for (const frame of frames) expect(frame).toBe(frames[0]);
      last = frames[0]?.last ?? true;
    }
  });

  test("get the same parts of a window, and not those of other windows", async () => {
    const all = [1500, 1501, 1500].map((window) => states.readGroup(window));
    const [one, other, again] = await Promise.all(all.map(readAll));
    expect(again?.map((frame, i) => frame === one?.[i])).toEqual([true, true]);
    const ids = (frames: readonly SyncFrame[] = []) =>
      frames.flatMap(({ items }) => items.map(({ itemId }) => itemId));
    expect(ids(one)).toEqual(idsOf(2001).slice(-1500));
    expect(ids(other)).toEqual(idsOf(2001).slice(-1501));
    expect(one?.at(-1)?.olderPageToken).not.toBe(other?.at(-1)?.olderPageToken);
    expect(one?.at(-1)?.olderPageToken).toBe(again?.at(-1)?.olderPageToken);
  });

  test("read the parts that are no longer cached from the store", async () => {
    const frames = await readAll(states.readGroup());
    const late = states.readGroup();
    expect(await late.next()).toBe(frames[0]);
    parts.tidy();
    parts.tidy();
    const second = await late.next();
    expect(second).not.toBe(frames[1]);
    expect(second).toEqual(frames[1]);
    late.close();
  });

  test("get everything that was written before their request, and nothing later (G10, G2)", async () => {
    const before = states.readGroup();
    const [first] = [await before.next()];
    await store.run(GROUP, [mutation("late")]);
    const after = await readAll(states.readGroup());
    expect(after[0]?.position.revision).toBe(first.position.revision + 1);
    expect(after.flatMap(({ items }) => items).at(-1)?.itemId).toBe("late");
    const rest = await readAll(before);
    expect([first, ...rest].flatMap(({ items }) => items)).toHaveLength(2001);
    for (const frame of rest) expect(frame.position).toEqual(first.position);
  });
});

async function readAll(reader: StateReader): Promise<SyncFrame[]> {
  const frames: SyncFrame[] = [];
  do frames.push(await reader.next());
  while (frames.at(-1)?.last === false);
  reader.close();
  return frames;
}

function mutation(itemId: string) {
  return { mutations: [{ kind: "put", itemId, value: Value.of(1) } as const] };
}
