import { afterEach, beforeEach, expect, test } from "vitest";
import type { GroupEvent } from "../../src/core/change.ts";
import type { Frame } from "../../src/core/frame.ts";
import type { Position } from "../../src/core/position.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Hub } from "../../src/live/hub.ts";
import { interestIn } from "../../src/live/interest.ts";
import type { Subscription } from "../../src/live/subscription.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { GROUP, INTERVAL_MS, put } from "./shared-setup.ts";
import { bound } from "./unreliable-feed.ts";

/* A feed may bring a transient event late: after changes that were committed after it was sent. */

let store: Store;
let tell: (event: GroupEvent) => void;
let nowMs = 0;
let hub: Hub;

beforeEach(() => {
  store = memoryStore();
  const listening: Store = {
    ...bound(store),
    watch(group, listener) {
      tell = listener;
      return store.watch(group, listener);
    },
  };
  hub = new Hub({
    store: listening,
    now: () => nowMs,
    heartbeatIntervalMs: INTERVAL_MS,
    stallTimeoutMs: 60_000,
    queueLimits: { maxBytes: 1 << 20, maxFrames: 2 },
  });
});
afterEach(() => store.close());

function late(after: Position): GroupEvent {
  const timestamp = Number.MAX_SAFE_INTEGER;
  return { kind: "event", type: "t", itemId: undefined, value: Value.of(0), after, timestamp };
}

async function take(subscription: Subscription, count: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  while (frames.length < count) {
    const frame = subscription.read();
    if (frame !== undefined) frames.push(frame);
    else await new Promise<void>((resolve) => subscription.onReadable(resolve));
  }
  return frames;
}

const revisions = (frames: readonly Frame[]) =>
  frames.map((frame) => (frame.kind === "change" ? frame.position.revision : frame.kind));

test("one that does not fit any more takes no change with it (G3)", async () => {
  await put(store, "a", 0);
  const subscription = await hub.follow({
    group: GROUP,
    interest: interestIn(undefined),
    resumeFrom: undefined,
  });
  const [sync] = await take(subscription, 1);
  const { position } = sync as Extract<Frame, { kind: "sync" }>;
  expect(subscription.read()).toBeUndefined();
  await put(store, "a", 1);
  await put(store, "a", 2);
  tell(late(position));
  const first = subscription.read();
  nowMs += INTERVAL_MS;
  await hub.tick();
  const rest = await take(subscription, first === undefined ? 2 : 1);
  expect(revisions([...(first === undefined ? [] : [first]), ...rest])).toEqual([2, 3]);
});

test("one that leaves the window of a reader who falls behind takes no change with it (G3)", async () => {
  await put(store, "a", 0);
  const subscription = await hub.follow({
    group: GROUP,
    interest: interestIn(undefined),
    resumeFrom: undefined,
  });
  const [sync] = await take(subscription, 1);
  const { position } = sync as Extract<Frame, { kind: "sync" }>;
  expect(subscription.read()).toBeUndefined();
  for (let n = 1; n <= 6; n++) {
    await put(store, "a", n);
    tell(late(position));
  }
  expect(revisions(await take(subscription, 6)).filter((each) => each !== "event")).toEqual([
    2, 3, 4, 5, 6, 7,
  ]);
});
