import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { Store } from "../../src/core/store.ts";
import { PART_LIMITS } from "../../src/live/state-part.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { View } from "./shared-reader.ts";
import { INTERVAL_MS, createGate, openShared, fill, idsOf, put, turns } from "./shared-setup.ts";
import { forgetful } from "./trying-store.ts";
import { bound } from "./unreliable-feed.ts";

let store: Store;
beforeEach(() => {
  store = memoryStore();
});
afterEach(() => store.close());

describe("a shared subscription whose members leave", () => {
  test("ends with the last member; a later join opens a new one", async () => {
    const { hub, reader, join, leave } = openShared(store);
    const views = [await join(), await join("a")];
    expect(hub.channelCount).toBe(1);
    for (const view of views) leave(view);
    expect(hub.channelCount).toBe(0);
    await put(store, "a", 1);
    expect(reader.drain()).toBe(0);
    expect((await join("a")).state.get("a")).toBe("1");
  });

  test("releases a join that was under way, at any point", async () => {
    const gate = createGate();
    const slow: Store = {
      ...bound(store),
      async get(...args) {
        await gate.pass();
        return store.get(...args);
      },
    };
    const { hub, shared, join, start, leave } = openShared(slow);
    gate.close();
    const opening = start("a");
    const queued = start("a");
    await turns();
    leave(opening.view);
    leave(queued.view);
    gate.open();
    await Promise.all([opening.joined, queued.joined]);
    expect(hub.channelCount).toBe(0);

    await join("b");
    gate.close();
    const beside = start("a");
    await turns();
    leave(beside.view);
    await beside.joined;
    gate.open();
    await put(store, "b", 1);
    await join("a");
    shared.close();
    expect(hub.channelCount).toBe(0);
  });

  test("keeps the others when the first member leaves", async () => {
    const { reader, join, leave } = openShared(store);
    const first = await join();
    const second = await join("a");
    leave(first);
    await put(store, "b", 1);
    await put(store, "a", 2);
    expect(reader.drain()).toBe(1);
    expect(second.state.get("a")).toBe("2");
  });

  test("settles every join when it is closed", async () => {
    const gate = createGate();
    gate.close();
    const { hub, shared, start } = openShared({ ...bound(store), get: () => gate.pass() as never });
    const joins = [start("a"), start("b"), start("c")].map(({ joined }) => joined);
    await turns();
    shared.close();
    shared.close();
    gate.open();
    const outcomes = await Promise.allSettled(joins);
    expect(outcomes.map(({ status }) => status)).toContain("rejected");
    await expect(shared.join(new View())).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
    expect(hub.channelCount).toBe(0);
  });
});

describe("failures", () => {
  const away = new StreamError("STORE_UNAVAILABLE", "The store is away.");

  test("a join whose state cannot be read is refused, and the others continue", async () => {
    let fails = false;
    const failing: Store = {
      ...bound(store),
      get: (...args) => (fails ? Promise.reject(away) : store.get(...args)),
    };
    const { reader, join, start } = openShared(failing);
    const first = await join("a");
    fails = true;
    const { joined } = start("b");
    const refused = joined.catch((error: unknown) => error);
    reader.drain();
    expect(await refused).toBe(away);
    fails = false;
    await put(store, "a", 1);
    expect(reader.drain()).toBe(1);
    expect(first.state.get("a")).toBe("1");
    expect((await join("a")).state.get("a")).toBe("1");
  });

  test("a snapshot that fails after its first part ends the shared subscription", async () => {
    await fill(store, idsOf(PART_LIMITS.maxCount + 5), 1);
    const failing: Store = {
      ...bound(store),
      async snapshot(group) {
        const inner = await store.snapshot(group);
        let pages = 0;
        return {
          stable: true,
          next: (limits) => (pages++ === 0 ? inner.next(limits) : Promise.reject(away)),
          close: () => inner.close(),
        };
      },
    };
    const { shared, reader, join, start } = openShared(failing);
    await join("i0");
    const ended = new Promise<StreamError>((resolve) => shared.onEnd(resolve));
    start();
    await reader.next();
    expect(await ended).toBe(away);
    expect(shared.error).toBe(away);
    expect(reader.drain()).toBe(0);
    await expect(shared.join(new View())).rejects.toBe(away);
  });

  test("the end of the service ends members and joins under way with its error", async () => {
    const gate = createGate();
    const slow: Store = {
      ...bound(store),
      async get(...args) {
        await gate.pass();
        return store.get(...args);
      },
    };
    const { hub, shared, join, start } = openShared(slow);
    await join();
    gate.close();
    const joins = [start("a"), start("b")].map(({ joined }) => joined);
    await turns();
    const bye = new StreamError("SHUTTING_DOWN", "bye");
    let reason: StreamError | undefined;
    shared.onEnd(() => (reason = shared.error));
    hub.close(bye);
    expect(reason).toBe(bye);
    for (const joined of joins) await expect(joined).rejects.toBe(bye);
    gate.open();
  });
});

describe("a lost history", () => {
  test("is replaced by one snapshot, of which each member gets the items it follows (G3)", async () => {
    const forgetting = forgetful(store);
    let nowMs = 1_000_000;
    const { hub, reader, join, start } = openShared(forgetting, () => nowMs);
    await put(store, "a", 1);
    const views = [await join(), await join("a"), await join("b")];
    store = memoryStore();
    await put(store, "b", 2);
    forgetting.replace(store);
    const { view } = start("b");
    nowMs += INTERVAL_MS;
    await hub.tick();
    await turns();
    reader.drain();
    while (!view.isOpen) await reader.next();
    expect([...views, view].map(({ state }) => Object.fromEntries(state))).toEqual([
      { b: "2" },
      {},
      { b: "2" },
      { b: "2" },
    ]);
  });
});

describe("heartbeats (G5)", () => {
  test("reach all members when the group is quiet", async () => {
    let nowMs = 1_000_000;
    const { hub, reader, join } = openShared(store, () => nowMs);
    const views = [await join(), await join("a")];
    nowMs += INTERVAL_MS;
    await hub.tick();
    expect(reader.drain()).toBe(2);
    expect(views.map(({ heartbeats }) => heartbeats)).toEqual([1, 1]);
  });

  test("advance the position of a quiet member although others are busy", async () => {
    let nowMs = 1_000_000;
    const { hub, reader, join } = openShared(store, () => nowMs);
    await join();
    const quiet = await join("quiet");
    for (let i = 1; i <= 10; i++) {
      nowMs += INTERVAL_MS / 5;
      await put(store, "busy", i);
      reader.drain();
      await hub.tick();
      reader.drain();
    }
    expect(quiet.heartbeats).toBe(2);
    expect(quiet.position.revision).toBe(10);
  });
});
