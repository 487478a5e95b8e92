import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Frame } from "../../src/core/frame.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Hub } from "../../src/live/hub.ts";
import { interestIn } from "../../src/live/interest.ts";
import { PART_LIMITS } from "../../src/live/state-part.ts";
import { groupState } from "../../src/live/state-reader.ts";
import type { Subscription } from "../../src/live/subscription.ts";
import { type MemoryStore, memoryStore } from "../../src/stores/memory/memory-store.ts";
import { fill, idsOf } from "./shared-setup.ts";
import { bound } from "./unreliable-feed.ts";

const GROUP = { streamName: "s", groupId: "g" };
const REQUEST = { group: GROUP, interest: interestIn(undefined), resumeFrom: undefined };

let store: Store;
beforeEach(() => {
  store = memoryStore();
});
afterEach(() => store.close());

function createHub(over: Store, maxFrames = 1000): Hub {
  return new Hub({
    store: over,
    now: () => 0,
    heartbeatIntervalMs: 15_000,
    stallTimeoutMs: 60_000,
    queueLimits: { maxBytes: 1 << 20, maxFrames },
  });
}

/** Stores a number, without waiting for followers. */
const set = (itemId: string, json: number) => fill(store, [itemId], json);

async function fillWith(count: number): Promise<void> {
  for (const [i, itemId] of idsOf(count).entries()) await set(itemId, i);
}

/** Takes the next `count` frames, waiting for each. */
async function take(subscription: Subscription, count: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  while (frames.length < count) {
    const frame = subscription.read();
    if (frame !== undefined) frames.push(frame);
    else await new Promise<void>((resolve) => subscription.onReadable({ wake: resolve }));
  }
  return frames;
}

/** A gate at which calls wait while it is closed. */
function createGate() {
  let open: (() => void) | undefined;
  let closed: Promise<void> | undefined;
  return {
    close() {
      closed = new Promise((resolve) => (open = resolve));
    },
    open: () => open?.(),
    pass: () => closed ?? Promise.resolve(),
  };
}

describe("a snapshot", () => {
  test("has one position in all its parts, although the group changes between its pages (G1, G3)", async () => {
    await fillWith(PART_LIMITS.maxCount * 2 + 5);
    let pages = 0;
    const busy: Store = {
      ...bound(store),
      async snapshot(group) {
        const reader = await store.snapshot(group);
        return {
          stable: reader.stable,
          close: () => reader.close(),
          async next(limits) {
            const page = await reader.next(limits);
            pages++;
            // An item that was read, one that was not, one deleted, one created again, one new.
            await set("i0", -pages);
            await set("i2003", -pages);
            await store.run(GROUP, [{ mutations: [{ kind: "delete", itemId: "i1" }] }]);
            await set("i1", -pages);
            await set(`new${pages}`, pages);
            return page;
          },
        };
      },
    };
    const hub = createHub(busy);
    const subscription = await hub.follow(REQUEST);
    const parts = await take(subscription, 3);
    expect(pages).toBe(3);
    const [first] = parts;
    expect(parts.map((part) => part.kind === "sync" && [part.first, part.last])).toEqual([
      [true, false],
      [false, false],
      [false, true],
    ]);
    for (const part of parts)
      expect(part).toMatchObject({ position: (first as { position: unknown }).position });
    const state = new Map<string, string>();
    for (const part of parts) {
      if (part.kind !== "sync") continue;
      for (const item of part.items) state.set(item.itemId, item.value.text);
    }
    // The last page was read before the changes that followed it.
    expect(state.get("i0")).toBe("-2");
    expect(state.get("i1")).toBe("-2");
    expect(state.get("i2003")).toBe("-2");
    expect([...state.keys()].slice(-2)).toEqual(["i1", "new2"]);
    expect(state.size).toBe(PART_LIMITS.maxCount * 2 + 5 + 2);
    const later = await take(subscription, 5);
    expect(later.map((frame) => frame.kind)).toEqual(Array.from({ length: 5 }, () => "change"));
  });

  test("has the lifetimes of items that changed between its pages", async () => {
    const ids = idsOf(PART_LIMITS.maxCount + 5);
    const put = (itemId: string, ttlMs?: number) => ({
      kind: "put" as const,
      itemId,
      value: Value.of(1),
      lifetime: ttlMs === undefined ? undefined : { ttlMs },
    });
    await store.run(GROUP, [{ mutations: ids.map((itemId) => put(itemId, 1e9)) }]);
    const busy: Store = {
      ...bound(store),
      async snapshot(group) {
        const reader = await store.snapshot(group);
        return {
          stable: reader.stable,
          close: () => reader.close(),
          async next(limits) {
            const page = await reader.next(limits);
            if (!page.done)
              await store.run(GROUP, [{ mutations: [put("i0", 2e9), put("i1"), put("i2", 2e9)] }]);
            return page;
          },
        };
      },
    };
    const subscription = await createHub(busy).follow(REQUEST);
    const parts = await take(subscription, 2);
    const items = parts.flatMap((part) => (part.kind === "sync" ? part.items : []));
    expect(items).toHaveLength(ids.length);
    for (const { itemId, lifetime } of items.slice(0, 4))
      expect(lifetime).toEqual((await store.get(GROUP, itemId)).item?.lifetime);
    expect(items[0]?.lifetime?.expireTimeMs).toBeGreaterThan(Date.now() + 1e9);
    expect(items[1]?.lifetime).toBeUndefined();
  });

  test("starts over when the log no longer holds the changes between two pages", async () => {
    store = memoryStore({ history: { maxChanges: 2 } });
    await fillWith(PART_LIMITS.maxCount + 5);
    let snapshots = 0;
    const busy: Store = {
      ...bound(store),
      async snapshot(group) {
        snapshots++;
        const reader = await store.snapshot(group);
        return {
          stable: reader.stable,
          close: () => reader.close(),
          async next(limits) {
            const page = await reader.next(limits);
            if (snapshots === 1 && !page.done) await fillWith(3);
            return page;
          },
        };
      },
    };
    const part = await groupState(busy, GROUP).next();
    expect(snapshots).toBe(2);
    expect(part.position.revision).toBe(PART_LIMITS.maxCount + 8);
  });

  test("gives up with a sentence when the group always changes faster than its log is kept", async () => {
    store = memoryStore({ history: { maxChanges: 2 } });
    await fillWith(PART_LIMITS.maxCount + 5);
    const busy: Store = {
      ...bound(store),
      async snapshot(group) {
        const reader = await store.snapshot(group);
        const next: typeof reader.next = async (limits) => {
          const page = await reader.next(limits);
          if (!page.done) await fillWith(3);
          return page;
        };
        return { stable: reader.stable, close: () => reader.close(), next };
      },
    };
    await expect(groupState(busy, GROUP).next()).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
  });
});

describe("a subscription that is loading", () => {
  test("drops frames that were read before the history was lost, and gets a fresh sync (G3)", async () => {
    const gate = createGate();
    const slow: Store = {
      ...bound(store),
      async since(...args) {
        const replay = await store.since(...args);
        await gate.pass();
        return replay;
      },
    };
    const hub = createHub(slow, 2);
    const subscription = await hub.follow(REQUEST);
    await take(subscription, 1);
    await fillWith(5);
    gate.close();
    expect(subscription.read()).toBeUndefined();
    subscription.reset();
    gate.open();
    const [frame] = await take(subscription, 1);
    expect(frame).toMatchObject({ kind: "sync", first: true, position: { revision: 5 } });
  });

  test("drops a snapshot that was under way when the history was lost", async () => {
    await fillWith(PART_LIMITS.maxCount + 5);
    const gate = createGate();
    const slow: Store = {
      ...bound(store),
      async snapshot(group) {
        const reader = await store.snapshot(group);
        return {
          stable: true,
          close: () => reader.close(),
          async next(limits) {
            const page = await reader.next(limits);
            await gate.pass();
            return page;
          },
        };
      },
    };
    const hub = createHub(slow);
    const subscription = await hub.follow(REQUEST);
    expect(await take(subscription, 1)).toMatchObject([{ kind: "sync", first: true, last: false }]);
    gate.close();
    expect(subscription.read()).toBeUndefined();
    subscription.reset();
    gate.open();
    expect(await take(subscription, 2)).toMatchObject([
      { kind: "sync", first: true, last: false },
      { kind: "sync", first: false, last: true },
    ]);
  });

  test("receives no event that was sent before its snapshot was read", async () => {
    const gate = createGate();
    const slow: Store = {
      ...bound(store),
      async snapshot(group) {
        await gate.pass();
        return store.snapshot(group);
      },
    };
    await fillWith(1);
    const hub = createHub(slow);
    gate.close();
    const following = hub.follow(REQUEST);
    // The channel already watches the store; the snapshot is not read yet.
    await new Promise((resolve) => setImmediate(resolve));
    await store.broadcast(GROUP, { type: "early", itemId: undefined, value: Value.of(1) });
    gate.open();
    const subscription = await following;
    await store.broadcast(GROUP, { type: "late", itemId: undefined, value: Value.of(2) });
    const frames = await take(subscription, 2);
    expect(frames.map((frame) => (frame.kind === "event" ? frame.type : frame.kind))).toEqual([
      "sync",
      "late",
    ]);
  });

  test("continues from the last position at which the reader of an item was up to date", async () => {
    store = memoryStore({ history: { maxChanges: 5 } });
    const hub = createHub(store, 2);
    const subscription = await hub.follow({ ...REQUEST, interest: interestIn("mine") });
    await take(subscription, 1);
    await fillWith(20);
    for (let i = 0; i < 4; i++) await set("mine", i);
    const frames = await take(subscription, 4);
    // The log reaches back to the first of the four, but not to the sync.
    expect(frames.map((frame) => frame.kind)).toEqual(["change", "change", "change", "change"]);
  });
});

test("a response of the store that took longer than an interval confirms nothing (G5)", async () => {
  let nowMs = 0;
  const slow: Store = {
    ...bound(store),
    async heads(groups) {
      const heads = await store.heads(groups);
      nowMs += 15_000;
      return heads;
    },
  };
  const hub = new Hub({
    store: slow,
    now: () => nowMs,
    heartbeatIntervalMs: 15_000,
    stallTimeoutMs: 60_000,
    queueLimits: { maxBytes: 1 << 20, maxFrames: 10 },
  });
  const subscription = await hub.follow(REQUEST);
  await take(subscription, 1);
  nowMs += 15_000;
  await hub.tick();
  expect(subscription.read()).toBeUndefined();
});

test("a group that was forgotten while it was followed serves old and new subscribers without a heartbeat (G3)", async () => {
  let nowMs = 1_000_000;
  const forgetful: MemoryStore = memoryStore({ clock: () => nowMs, history: { maxAgeMs: 1000 } });
  store = forgetful;
  const hub = createHub(store);
  await set("i", 1);
  const before = await hub.follow(REQUEST);
  expect(await take(before, 1)).toMatchObject([{ kind: "sync", position: { revision: 1 } }]);
  await store.run(GROUP, [{ mutations: [{ kind: "delete", itemId: "i" }] }]);
  expect(await take(before, 1)).toMatchObject([{ kind: "change", type: "delete" }]);
  nowMs += 10_000;
  forgetful.sweep();
  const after = await hub.follow(REQUEST);
  await set("j", 2);
  // Each may receive one snapshot or two, and a change that the last snapshot does not contain.
  for (const subscription of [before, after]) {
    const items = new Set<string>();
    while (!items.has("j")) {
      const [frame] = await take(subscription, 1);
      if (frame?.kind === "sync") {
        items.clear();
        for (const { itemId } of frame.items) items.add(itemId);
      } else if (frame?.kind === "change") items.add(frame.itemId);
    }
    expect(Array.from(items)).toEqual(["j"]);
  }
});
