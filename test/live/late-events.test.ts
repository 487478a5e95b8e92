import { afterEach, beforeEach, expect, test } from "vitest";
import type { GroupEvent } from "../../src/core/change.ts";
import type { SyncFrame } from "../../src/core/frame.ts";
import type { Position } from "../../src/core/position.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Hub } from "../../src/live/hub.ts";
import { interestIn } from "../../src/live/interest.ts";
import type { Subscription } from "../../src/live/subscription.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";
import { GROUP, INTERVAL_MS, put } from "./shared-setup.ts";
import { bound } from "./unreliable-feed.ts";

/* A feed may deliver a transient event after changes that were committed after it was sent. */

let store: Store;
let announce: (event: GroupEvent) => void;
let nowMs = 0;
let hub: Hub;

beforeEach(() => {
  store = memoryStore();
  const listening: Store = {
    ...bound(store),
    watch(group, listener) {
      announce = listener;
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
  const value = Value.of(0);
  return { kind: "event", type: "t", itemId: undefined, value, after, timestamp, author: "" };
}

/**
 * Reads frames up to this revision, while time passes: revisions of changes, kinds of other frames.
 */
async function upTo(revision: number, subscription: Subscription): Promise<(number | string)[]> {
  const seen: (number | string)[] = [];
  while (seen.at(-1) !== revision) {
    if (seen.length > 20) throw new Error(`The frames were ${seen.join(", ")}.`);
    const frame = subscription.read();
    if (frame === undefined) {
      nowMs += INTERVAL_MS / 5;
      await hub.tick();
    } else if (frame.kind === "heartbeat") seen.push(`heartbeat ${frame.position.revision}`);
    else seen.push(frame.kind === "change" ? frame.position.revision : frame.kind);
  }
  return seen.filter((each) => each !== "event");
}

/** Follows the group, which is at revision 1, and takes its snapshot. */
async function follow(): Promise<{ subscription: Subscription; position: Position }> {
  await put(store, "a", 0);
  const interest = interestIn(undefined);
  const subscription = await hub.follow({ group: GROUP, interest, resumeFrom: undefined });
  const sync = subscription.read() as SyncFrame;
  expect(subscription.read()).toBeUndefined();
  return { subscription, position: sync.position };
}

test("a late event that overfills the queue drops no change with it (G3, G5)", async () => {
  const { subscription, position } = await follow();
  await put(store, "a", 1);
  await put(store, "a", 2);
  announce(late(position));
  expect(await upTo(3, subscription)).toEqual([2, 3]);
});

test("a late event that leaves the window of a slow reader drops no change with it (G3, G5)", async () => {
  const { subscription, position } = await follow();
  for (let n = 1; n <= 6; n++) {
    await put(store, "a", n);
    announce(late(position));
    announce(late(position));
  }
  expect(await upTo(7, subscription)).toEqual([2, 3, 4, 5, 6, 7]);
});
