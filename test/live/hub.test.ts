import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { Frame } from "../../src/core/frame.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Hub } from "../../src/live/hub.ts";
import { interestIn } from "../../src/live/interest.ts";
import type { Subscription } from "../../src/live/subscription.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { put, round } from "./shared-setup.ts";
import { bound } from "./unreliable-feed.ts";

const GROUP = { streamName: "s", groupId: "g" };
const REQUEST = { group: GROUP, interest: interestIn(undefined), resumeFrom: undefined };
const INTERVAL_MS = 15_000;
const STALL_MS = 60_000;

let nowMs: number;
let inner: Store;

beforeEach(() => {
  nowMs = 1_000_000;
  inner = memoryStore();
});
afterEach(() => inner.close());

function createHub(store: Store, maxFrames = 1000): Hub {
  return new Hub({
    store,
    now: () => nowMs,
    heartbeatIntervalMs: INTERVAL_MS,
    stallTimeoutMs: STALL_MS,
    queueLimits: { maxBytes: 1 << 20, maxFrames },
  });
}

function kinds(subscription: Subscription): string[] {
  const seen: string[] = [];
  for (let frame = subscription.read(); frame !== undefined; frame = subscription.read())
    seen.push(frame.kind);
  return seen;
}

async function passTime(hub: Hub, ms: number): Promise<void> {
  nowMs += ms;
  await hub.tick();
}

describe("heartbeats (G5)", () => {
  test("come when the interval has passed since the last frame with a position, and carry the head", async () => {
    const hub = createHub(inner);
    await put(inner, "a", 1);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    await passTime(hub, INTERVAL_MS - 1);
    expect(kinds(subscription)).toEqual([]);
    await passTime(hub, 1);
    const head = (await inner.heads([GROUP]))[0]?.position;
    expect(subscription.read()).toEqual({ kind: "heartbeat", position: head });
    await passTime(hub, INTERVAL_MS - 1);
    expect(kinds(subscription)).toEqual([]);
  });

  test("are not delayed by transient events, which have no position", async () => {
    const hub = createHub(inner);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    nowMs += INTERVAL_MS - 1;
    await inner.broadcast(GROUP, { type: "t", itemId: undefined, value: Value.of(1) });
    await round();
    expect(kinds(subscription)).toEqual(["event"]);
    await passTime(hub, 1);
    expect(kinds(subscription)).toEqual(["heartbeat"]);
  });

  test("move the position of an item subscription past changes of other items", async () => {
    const hub = createHub(inner);
    const subscription = await hub.follow({ ...REQUEST, interest: interestIn("mine") });
    expect(kinds(subscription)).toEqual(["sync"]);
    await put(inner, "other", 1);
    await put(inner, "other", 2);
    await passTime(hub, INTERVAL_MS);
    expect((subscription.read() as Frame & { kind: "heartbeat" }).position.revision).toBe(2);
  });

  test("come after the changes that the feed missed, which are read from the log", async () => {
    const silent: Store = { ...bound(inner), watch: () => Promise.resolve(() => {}) };
    const hub = createHub(silent);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    await put(inner, "a", 1);
    await put(inner, "b", 2);
    expect(kinds(subscription)).toEqual([]);
    await passTime(hub, INTERVAL_MS);
    expect(kinds(subscription)).toEqual(["change", "change"]);
  });

  test("are not sent while the store is unavailable; the subscription ends after two intervals", async () => {
    let fails = false;
    const failing: Store = {
      ...bound(inner),
      heads: (groups) =>
        fails ? Promise.reject(new StreamError("STORE_UNAVAILABLE", "down")) : inner.heads(groups),
    };
    const hub = createHub(failing);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    fails = true;
    await passTime(hub, INTERVAL_MS);
    expect(kinds(subscription)).toEqual([]);
    expect(subscription.ended).toBe(false);
    await passTime(hub, INTERVAL_MS);
    expect(subscription.error?.reason).toBe("STORE_UNAVAILABLE");
  });

  test("continue when the store is available again in time", async () => {
    let fails = true;
    const failing: Store = {
      ...bound(inner),
      heads: (groups) =>
        fails ? Promise.reject(new StreamError("STORE_UNAVAILABLE", "down")) : inner.heads(groups),
    };
    fails = false;
    const hub = createHub(failing);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    fails = true;
    await passTime(hub, INTERVAL_MS);
    fails = false;
    await passTime(hub, INTERVAL_MS - 1);
    expect(kinds(subscription)).toEqual(["heartbeat"]);
  });
});

describe("slow readers (G7)", () => {
  test("a reader that reads nothing for the stall timeout is ended with SLOW_SUBSCRIBER", async () => {
    const hub = createHub(inner);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    await put(inner, "a", 1);
    await passTime(hub, STALL_MS);
    expect(subscription.ended).toBe(false);
    await passTime(hub, 1);
    expect(subscription.error?.reason).toBe("SLOW_SUBSCRIBER");
    expect(hub.channelCount).toBe(0);
  });

  test("a reader that has taken every frame is not slow, however long the group is quiet", async () => {
    const hub = createHub(inner);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    const woken = new Promise<void>((resolve) => subscription.onReadable({ wake: resolve }));
    nowMs += STALL_MS * 10;
    await put(inner, "a", 1);
    await hub.tick();
    await woken;
    expect(kinds(subscription)).toEqual(["change"]);
  });

  test("a reader that waits to be woken has not fallen behind", async () => {
    const hub = createHub(inner, 3);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    const received: string[][] = [];
    const listen = () => {
      received.push(kinds(subscription));
      if (!subscription.ended) subscription.onReadable({ wake: listen });
    };
    subscription.onReadable({ wake: listen });
    // More than the queue's limit, in one turn of the event loop.
    for (let n = 0; n < 8; n++) void put(inner, "a", n);
    while (received.flat().length < 8) await new Promise((resolve) => setImmediate(resolve));
    expect(received.flat()).toEqual(Array(8).fill("change"));
    expect(received.length).toBeLessThan(8);
  });

  test("a queue over its limits is dropped and read from the log again, without a gap", async () => {
    const hub = createHub(inner, 3);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    for (let i = 0; i < 10; i++) await put(inner, `i${i}`, i);
    const revisions: number[] = [];
    while (revisions.length < 10) {
      const frame = subscription.read();
      if (frame?.kind === "change") revisions.push(frame.position.revision);
      else await new Promise<void>((resolve) => subscription.onReadable({ wake: resolve }));
    }
    expect(revisions).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("a reader gets a fresh sync when the log no longer reaches back far enough", async () => {
    inner = memoryStore({ history: { maxChanges: 2 } });
    const hub = createHub(inner, 3);
    const subscription = await hub.follow(REQUEST);
    expect(kinds(subscription)).toEqual(["sync"]);
    for (let i = 0; i < 10; i++) await put(inner, `i${i}`, i);
    expect(subscription.read()).toBeUndefined();
    await new Promise<void>((resolve) => subscription.onReadable({ wake: resolve }));
    const frame = subscription.read();
    expect(frame).toMatchObject({
      kind: "sync",
      first: true,
      last: true,
      position: { revision: 10 },
    });
  });
});

describe("channels", () => {
  test("one watch of the store serves all followers of a group, and ends with the last of them", async () => {
    let watches = 0;
    let unwatches = 0;
    const counted: Store = {
      ...bound(inner),
      async watch(group, listener) {
        watches++;
        const unwatch = await inner.watch(group, listener);
        return () => {
          unwatches++;
          unwatch();
        };
      },
    };
    const hub = createHub(counted);
    const followers = await Promise.all([
      hub.follow(REQUEST),
      hub.follow(REQUEST),
      hub.follow(REQUEST),
    ]);
    expect(watches).toBe(1);
    for (const follower of followers) follower.close();
    expect({ unwatches, channels: hub.channelCount }).toEqual({ unwatches: 1, channels: 0 });
  });

  test("a store that cannot be watched refuses the subscription; the next one tries again", async () => {
    let fails = true;
    const failing: Store = {
      ...bound(inner),
      watch: (group, listener) =>
        fails
          ? Promise.reject(new StreamError("STORE_UNAVAILABLE", "down"))
          : inner.watch(group, listener),
    };
    const hub = createHub(failing);
    await expect(hub.follow(REQUEST)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(hub.channelCount).toBe(0);
    fails = false;
    expect(kinds(await hub.follow(REQUEST))).toEqual(["sync"]);
  });

  test("closing ends every subscription with the given error and refuses new ones", async () => {
    const hub = createHub(inner);
    const subscription = await hub.follow(REQUEST);
    hub.close(new StreamError("SHUTTING_DOWN", "bye"));
    expect(subscription.error?.reason).toBe("SHUTTING_DOWN");
    await expect(hub.follow(REQUEST)).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
    expect(hub.channelCount).toBe(0);
  });
});
