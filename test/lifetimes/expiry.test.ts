import { afterEach, describe, expect, it } from "vitest";
import type { Firing } from "../../src/core/outbox.ts";
import type { Store } from "../../src/core/store.ts";
import { endBoundItems } from "../../src/lifetimes/bound-items.ts";
import { type Expiry, startExpiry } from "../../src/lifetimes/expiry.ts";
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
  const expiry: Expiry = startExpiry({
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

  it("goes on after a failure of the store", async () => {
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
