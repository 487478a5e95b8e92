import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withDelta } from "../../src/core/change.ts";
import type { Frame } from "../../src/core/frame.ts";
import { reduce } from "../../src/core/reduce.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Hub } from "../../src/live/hub.ts";
import { interestIn } from "../../src/live/interest.ts";
import type { Subscription } from "../../src/live/subscription.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { op } from "../core/op-builders.ts";
import { GROUP, createGate, openShared, round, turns } from "./shared-setup.ts";
import { View } from "./shared-reader.ts";
import { bound } from "./unreliable-feed.ts";

let store: Store;
beforeEach(async () => {
  store = memoryStore();
  const value = Value.of({ text: "x".repeat(1000) });
  await store.run(GROUP, [{ mutations: [{ kind: "put", itemId: "i", value }] }]);
});
afterEach(() => store.close());

async function append(text: string): Promise<void> {
  const ops = [op.append(["text"], text)];
  const mutation = {
    kind: "reduce",
    itemId: "i",
    reduce: (current: Value | undefined) => reduce(current, ops),
    bytes: 0,
  } as const;
  await store.run(GROUP, [{ mutations: [mutation] }]);
}

/** The text of the item, in the store and in views. */
async function expectSameState(...views: readonly View[]): Promise<void> {
  const { item } = await store.get(GROUP, "i");
  for (const view of views) expect(view.state.get("i")).toBe(item?.value.text);
}

function drain(subscription: Subscription): Frame[] {
  const frames: Frame[] = [];
  for (let frame = subscription.read(); frame !== undefined; frame = subscription.read())
    frames.push(frame);
  return frames;
}

describe("a subscription with deltas", () => {
  const hubWith = (queueBytes: number) =>
    new Hub({
      store,
      now: () => 0,
      heartbeatIntervalMs: 15_000,
      stallTimeoutMs: 60_000,
      queueLimits: { maxBytes: queueBytes, maxFrames: 1000 },
    });
  const follow = (hub: Hub, deltas = true) => {
    const interest = interestIn(undefined, { deltas });
    return hub.follow({ group: GROUP, interest, resumeFrom: undefined });
  };

  test("shares each delta with the others", async () => {
    const hub = hubWith(1 << 20);
    const [one, other, whole] = [await follow(hub), await follow(hub), await follow(hub, false)];
    for (const each of [one, other, whole]) drain(each);
    await append("!");
    await round();
    const [[first], [second], [third]] = [drain(one), drain(other), drain(whole)];
    expect(first).toMatchObject({ kind: "delta", itemId: "i", delta: { baseRevision: 1 } });
    expect(first).not.toHaveProperty("value");
    expect(second).toBe(first);
    expect(third).toMatchObject({ kind: "change", type: "update" });
  });

  test("holds the steps that a slow reader has not taken, not the values (G7)", async () => {
    // 300 values would need 300 kB and more.
    const slow = await follow(hubWith(128 * 1024));
    drain(slow);
    for (let i = 0; i < 300; i++) await append(`${i} `);
    await round();
    const frames = drain(slow);
    expect(frames).toHaveLength(300);
    expect(frames.every(({ kind }) => kind === "delta")).toBe(true);
  });

  test("whose queue was dropped gets the deltas of the log", async () => {
    const slow = await follow(hubWith(8 * 1024));
    const view = new View(undefined, true);
    for (const frame of drain(slow)) if (frame.kind === "sync") view.takeOwn(frame);
    for (let i = 0; i < 300; i++) await append(`${i} `);
    await round();
    while (view.position.revision < 301) {
      for (const frame of drain(slow)) if (frame.kind === "delta") view.takeShared(frame);
      await turns();
    }
    expect(view.deltaCount).toBe(300);
    await expectSameState(view);
  });
});

describe("members with and without deltas", () => {
  test("get deltas only while all take them", async () => {
    const { reader, join, leave } = openShared(store);
    const first = await join(undefined, undefined, true);
    const kindOfNext = async () => {
      await append("!");
      await round();
      return (await reader.next()).frame.kind;
    };
    expect(await kindOfNext()).toBe("delta");
    const second = await join("i", undefined, true);
    expect(await kindOfNext()).toBe("delta");
    const whole = await join("other");
    expect(await kindOfNext()).toBe("change");
    leave(whole);
    expect(await kindOfNext()).toBe("delta");
    await expectSameState(first, second);
  });

  test("keep the deltas that were queued before a member without them joins, and it gets none", async () => {
    const { reader, join, start } = openShared(store);
    const first = await join(undefined, undefined, true);
    for (const text of ["1", "2", "3"]) await append(text);
    await round();
    const { view } = start();
    await append("4");
    await round();
    const kinds: string[] = [];
    while (!view.isOpen) kinds.push((await reader.next()).frame.kind);
    await append("5");
    await round();
    kinds.push((await reader.next()).frame.kind);
    expect(kinds).toEqual(["delta", "delta", "delta", "change", "sync", "change"]);
    await expectSameState(first, view);
  });

  test("get whole values while a snapshot for a member without deltas is read, and after it", async () => {
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
    const first = await join("i", undefined, true);
    gate.close();
    const { view } = start("i");
    await turns();
    for (const text of ["1", "2"]) await append(text);
    await round();
    expect(reader.drain()).toBe(0);
    gate.open();
    const kinds: string[] = [];
    for (let i = 0; i < 3; i++) kinds.push((await reader.next()).frame.kind);
    expect(kinds).toEqual(["sync", "change", "change"]);
    await expectSameState(first, view);
  });

  test("get nothing that was read from the log without values before a member that needs them joined", async () => {
    const gate = createGate();
    let reads = 0;
    const slow: Store = {
      ...bound(store),
      async deltasSince(...args) {
        reads++;
        await gate.pass();
        const replay = await store.since(...args);
        return replay.lost ? replay : { ...replay, changes: replay.changes.map(withDelta) };
      },
    };
    const { reader, join, start } = openShared(slow, () => 0, 2);
    const first = await join("i", undefined, true);
    for (let i = 0; i < 5; i++) await append(`${i}`);
    await round();
    gate.close();
    reader.drain();
    expect(reads).toBe(1);
    const { view } = start("i");
    await turns();
    // After the snapshot, and before the log is read.
    for (let i = 5; i < 10; i++) await append(`${i}`);
    gate.open();
    while (!view.isOpen || view.position.revision < 11) await reader.next();
    expect(view.deltaCount).toBe(0);
    await expectSameState(first, view);
  });
});
