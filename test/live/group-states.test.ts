import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { GroupStates } from "../../src/live/group-states.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { GROUP, createGate, put, turns } from "./shared-setup.ts";
import { bound } from "./unreliable-feed.ts";

let inner: Store;
let snapshots: number;
let failsNext: boolean;
const gate = createGate();
let states: GroupStates;
beforeEach(async () => {
  inner = memoryStore();
  snapshots = 0;
  failsNext = false;
  const store: Store = {
    ...bound(inner),
    async snapshot(group) {
      snapshots++;
      const fails = failsNext;
      failsNext = false;
      const reader = await inner.snapshot(group);
      await gate.pass();
      if (fails) throw new StreamError("STORE_UNAVAILABLE", "The store is away.");
      return reader;
    },
  };
  states = new GroupStates(store, GROUP, () => true);
  await put(inner, "a", 1);
});
afterEach(async () => {
  gate.open();
  vi.useRealTimers();
  await inner.close();
});

describe("several who ask for the state of a group", () => {
  test("at the same time get the same frame, read once", async () => {
    gate.close();
    const reads = [1, 2, 3].map(() => states.readGroup().next());
    gate.open();
    const [first, ...others] = await Promise.all(reads);
    for (const frame of others) expect(frame).toBe(first);
    expect(snapshots).toBe(1);
  });

  test("each get what was acknowledged before they asked (G10)", async () => {
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

  test("get another after a transient event, whose time the state has to tell", async () => {
    const before = await states.readGroup().next();
    await inner.broadcast(GROUP, { type: "t", itemId: undefined, value: Value.of(1) });
    expect((await states.readGroup().next()).timestamp).toBeGreaterThan(before.timestamp);
  });

  test("do not fail for one whose read failed", async () => {
    gate.close();
    failsNext = true;
    const unlucky = states.readGroup().next();
    const other = states.readGroup().next();
    gate.open();
    await expect(unlucky).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect((await other).items).toHaveLength(1);
  });

  test("each read a state of several parts at their own pace", async () => {
    for (let i = 0; i < 1001; i++) await inner.run(GROUP, [mutation(`i${i}`)]);
    const readers = [states.readGroup(), states.readGroup()];
    const firsts = await Promise.all(readers.map((reader) => reader.next()));
    expect(firsts.map(({ last }) => last)).toEqual([false, false]);
    const seconds = await Promise.all(readers.map((reader) => reader.next()));
    expect(seconds.map(({ last, items }) => [last, items.length])).toEqual([
      [true, 2],
      [true, 2],
    ]);
    expect(snapshots).toBe(2);
  });

  test("after a second do not get what was kept", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    await states.readGroup().next();
    await states.readGroup().next();
    expect(snapshots).toBe(1);
    vi.advanceTimersByTime(1000);
    await states.readGroup().next();
    expect(snapshots).toBe(2);
  });
});

function mutation(itemId: string) {
  return { mutations: [{ kind: "put", itemId, value: Value.of(1) } as const] };
}
