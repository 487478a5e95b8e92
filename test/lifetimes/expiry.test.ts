import { afterEach, describe, expect, it } from "vitest";
import type { Firing } from "../../src/core/outbox.ts";
import type { Store } from "../../src/core/store.ts";
import { endBoundItems } from "../../src/lifetimes/bound-items.ts";
import { type ItemExpiry, startExpiry } from "../../src/lifetimes/expiry.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { commit, contents, groupOf, listen, put, testClock } from "../stores/suite/fixture.ts";
import { connectionsIn, mortal } from "../stores/suite/lifetimes.ts";
import { waitingOf } from "../stores/suite/outbox.ts";

const group = groupOf("room");
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A store and its expiry, which looks only on request. */
function expiring(
  given: {
    readonly firing?: () => Firing | undefined;
    readonly wrap?: (store: Store) => Store;
  } = {},
) {
  const clock = testClock();
  const inner = memoryStore({ clock, sweepIntervalMs: 0 });
  const store = given.wrap?.(inner) ?? inner;
  const problems: unknown[] = [];
  const expiry: ItemExpiry = startExpiry({
    store,
    firing: given.firing ?? (() => undefined),
    intervalMs: Infinity,
    onProblem: (error) => problems.push(error),
  });
  closers.push(
    () => inner.close(),
    () => expiry.close(),
  );
  return { clock, store, expiry, problems };
}

describe("expiry", () => {
  it("deletes items whose time has passed, in changes with a cause, and no others", async () => {
    const { clock, store, expiry } = expiring();
    const recorder = await listen(store, group);
    await commit(store, group, put("stays", 1), mortal("late", { ttlMs: 5000 }));
    await commit(store, group, mortal("soon", { ttlMs: 1000 }, 7));
    await expiry.sweep();
    clock.nowMs += 1000;
    await expiry.sweep();
    expect((await contents(store, group)).map(([id]) => id)).toEqual(["stays", "late"]);
    expect(recorder.events.at(-1)).toMatchObject({
      type: "delete",
      itemId: "soon",
      cause: "expired",
      author: "",
      value: { text: "7" },
      position: { revision: 4 },
    });
    await expiry.sweep();
    expect(recorder.events).toHaveLength(4);
  });

  it("deletes 5,000 items of 100 groups in one sweep", async () => {
    const { clock, store, expiry } = expiring();
    for (let i = 0; i < 5000; i++)
      await commit(store, groupOf(`g${i % 100}`), mortal(`i${i}`, { ttlMs: 1000 + (i % 7) }));
    clock.nowMs += 2000;
    await expiry.sweep();
    expect(await store.groups("stream", { limit: 10 })).toEqual([]);
  });

  it("fires the triggers of the items", async () => {
    const { clock, store, expiry } = expiring({ firing: () => ({ triggers: ["t"], depth: 0 }) });
    await commit(store, group, mortal("a", { ttlMs: 1000 }), mortal("b", { ttlMs: 1000 }));
    clock.nowMs += 1000;
    await expiry.sweep();
    const { partition, heads } = await waitingOf(store, group);
    expect(heads).toMatchObject([{ triggers: ["t"] }, { triggers: ["t"] }]);
    const entry = await store.outbox.read(partition, heads[0]!.seq);
    expect(entry?.event).toMatchObject({ type: "delete", itemId: "a", cause: "expired" });
  });

  it("leaves an item whose lifetime was renewed after it was listed", async () => {
    const { clock, store, expiry } = expiring({
      wrap: (inner) => ({
        ...inner,
        lifetimes: {
          ...inner.lifetimes,
          async expired(limit) {
            const items = await inner.lifetimes.expired(limit);
            if (items.length > 0) await commit(inner, group, mortal("a", { ttlMs: 1000 }, 2));
            return items;
          },
        },
      }),
    });
    await commit(store, group, mortal("a", { ttlMs: 1000 }));
    clock.nowMs += 1000;
    await expiry.sweep();
    expect(await contents(store, group)).toEqual([["a", 2]]);
  });

  it("deletes nothing before its end: a wall clock that is set back delays by as much", async () => {
    const { clock, store, expiry } = expiring();
    await commit(store, group, mortal("a", { ttlMs: 1000 }));
    clock.nowMs += 999;
    await expiry.sweep();
    expect(await contents(store, group)).toHaveLength(1);
    clock.nowMs -= 60_000;
    await expiry.sweep();
    // Written by the clock that went back, it ends by that clock.
    await commit(store, group, mortal("b", { ttlMs: 1000 }));
    clock.nowMs += 1000;
    await expiry.sweep();
    expect((await contents(store, group)).map(([id]) => id)).toEqual(["a"]);
    clock.nowMs += 59_000;
    await expiry.sweep();
    expect((await contents(store, group)).map(([id]) => id)).toEqual(["a"]);
    clock.nowMs += 1;
    await expiry.sweep();
    expect(await contents(store, group)).toEqual([]);
  });

  it("deletes early by at most as much as the wall clock leaps ahead, and keeps timestamps in order", async () => {
    const { clock, store, expiry } = expiring();
    const recorder = await listen(store, group);
    await commit(store, group, mortal("a", { ttlMs: 61_000 }), mortal("b", { ttlMs: 61_001 }));
    clock.nowMs += 60_000;
    await expiry.sweep();
    expect(await contents(store, group)).toHaveLength(2);
    clock.nowMs += 1000;
    await expiry.sweep();
    expect((await contents(store, group)).map(([id]) => id)).toEqual(["b"]);
    // Back to the right time: what has gone stays, and the rest has its whole lifetime.
    clock.nowMs -= 60_000;
    await expiry.sweep();
    await commit(store, group, put("c", 1));
    expect((await contents(store, group)).map(([id]) => id)).toEqual(["b", "c"]);
    const times = recorder.events.map(({ timestamp }) => timestamp);
    expect(times).toEqual(Array.from(new Set(times)).sort((x, y) => x - y));
  });

  it("deletes in the order of the ends, even when there are more than one step takes", async () => {
    const { clock, store, expiry } = expiring();
    const recorder = await listen(store, group);
    const ids = Array.from({ length: 1000 }, (_, i) => `i${(i * 7) % 1000}`);
    for (const [i, id] of ids.entries())
      await commit(store, group, mortal(id, { ttlMs: 1000 + ((i * 7) % 1000) }));
    clock.nowMs += 3000;
    await expiry.sweep();
    const deleted = recorder.events.slice(1000).map(({ itemId }) => itemId);
    expect(deleted).toEqual(Array.from({ length: 1000 }, (_, i) => `i${i}`));
  });

  it("lets the event loop serve others between slices of at most 32 deletes", async () => {
    const { clock, store, expiry } = expiring();
    for (let i = 0; i < 1000; i++)
      await commit(store, groupOf(`g${i % 10}`), mortal(`i${i}`, { ttlMs: 1000 }));
    clock.nowMs += 1000;
    let inTurn = 0;
    let most = 0;
    for (let i = 0; i < 10; i++)
      await store.watch(groupOf(`g${i}`), () => (most = Math.max(most, ++inTurn)));
    let isOver = false;
    const turn = () => {
      inTurn = 0;
      if (!isOver) setImmediate(turn);
    };
    turn();
    await expiry.sweep();
    isOver = true;
    expect(await store.groups("stream", { limit: 10 })).toEqual([]);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(32);
  });

  it("deletes the items of other groups although one group fails, and reports a failure once", async () => {
    let fails = true;
    const problems: unknown[] = [];
    const clock = testClock();
    const inner = memoryStore({ clock, sweepIntervalMs: 0 });
    closers.push(() => inner.close());
    const failed = groupOf("failed");
    await commit(inner, failed, mortal("a", { ttlMs: 1000 }));
    for (let i = 0; i < 300; i++)
      await commit(inner, groupOf(`g${i}`), mortal("b", { ttlMs: 1001 }));
    clock.nowMs += 2000;
    let attempts = 0;
    const expiry = startExpiry({
      store: {
        ...inner,
        async run(at, commits) {
          if (at.groupId !== "failed") return inner.run(at, commits);
          attempts++;
          if (fails) throw new Error("down");
          return inner.run(at, commits);
        },
      },
      firing: () => undefined,
      intervalMs: 1,
      onProblem: (error) => problems.push(error),
    });
    closers.push(() => expiry.close());
    const left = async () => (await inner.groups("stream", { limit: 10 })).length;
    await expect.poll(left).toBe(1);
    await expect.poll(() => attempts).toBeGreaterThan(2);
    expect(problems).toEqual([new Error("down")]);
    fails = false;
    await expect.poll(left).toBe(0);
    expect(problems).toHaveLength(1);
  });

  it("continues after a failure of the store", async () => {
    let fails = true;
    const { clock, store, expiry } = expiring({
      wrap: (inner) => ({
        ...inner,
        run: (...args) => (fails ? Promise.reject(new Error("down")) : inner.run(...args)),
      }),
    });
    fails = false;
    await commit(store, group, mortal("a", { ttlMs: 1000 }));
    clock.nowMs += 1000;
    fails = true;
    await expect(expiry.sweep()).rejects.toThrow("down");
    fails = false;
    await expiry.sweep();
    expect(await contents(store, group)).toEqual([]);
  });
});

describe("the end of a connection", () => {
  it("deletes the items that are bound to it, in changes with a cause, and no others", async () => {
    const { store } = expiring();
    const recorder = await listen(store, group);
    await commit(store, group, mortal("a", { connection: "C" }), mortal("b", { connection: "D" }));
    for (let i = 0; i < 600; i++)
      await commit(store, groupOf(`g${i % 3}`), mortal(`i${i}`, { connection: "C" }));
    await endBoundItems("C", { store, firing: () => undefined });
    expect((await contents(store, group)).map(([id]) => id)).toEqual(["b"]);
    expect(recorder.events.at(-1)).toMatchObject({ itemId: "a", cause: "disconnected" });
    expect(await connectionsIn(store, 10)).toEqual(["D"]);
  });
});
