import { onTestFinished } from "vitest";
import type { Frame } from "../../../src/core/frame.ts";
import type { GroupKey } from "../../../src/core/names.ts";
import type { Store } from "../../../src/core/store.ts";
import type { Json } from "../../../src/core/value.ts";
import { DEFAULT_SUBSCRIBER_QUEUE_LIMITS } from "../../../src/live/frame-queue.ts";
import { Hub } from "../../../src/live/hub.ts";
import { interestIn } from "../../../src/live/interest.ts";

/** Follows a group, and keeps its state like a client. */
export interface Follower {
  readonly frames: readonly Frame[];
  /** Items folded from the frames. */
  state(): ReadonlyMap<string, Json>;
  /** Resolves when the frames satisfy the condition. */
  until(holds: (frames: readonly Frame[]) => boolean): Promise<void>;
}

/** Follows a group over a separate hub, until the test ends. */
export async function follow(store: Store, group: GroupKey): Promise<Follower> {
  const hub = new Hub({
    store,
    now: () => performance.now(),
    heartbeatIntervalMs: 60_000,
    stallTimeoutMs: 60_000,
    queueLimits: DEFAULT_SUBSCRIBER_QUEUE_LIMITS,
  });
  const subscription = await hub.follow({
    group,
    interest: interestIn(undefined),
    resumeFrom: undefined,
  });
  const frames: Frame[] = [];
  const state = new Map<string, Json>();
  const waiters = new Set<() => void>();
  const take = (frame: Frame) => {
    frames.push(frame);
    if (frame.kind === "sync") {
      if (frame.first) state.clear();
      for (const { itemId, value } of frame.items) state.set(itemId, value.json());
    } else if (frame.kind === "change") {
      if (frame.type === "delete") state.delete(frame.itemId);
      else state.set(frame.itemId, frame.value.json());
    }
    for (const waiter of Array.from(waiters)) waiter();
  };
  const reading = (async () => {
    for await (const frame of subscription) take(frame);
  })().catch(() => {});
  onTestFinished(async () => {
    subscription.close();
    await reading;
  });
  return {
    frames,
    state: () => state,
    until: (holds) =>
      new Promise((resolve) => {
        const waiter = () => {
          if (!holds(frames)) return;
          waiters.delete(waiter);
          resolve();
        };
        waiters.add(waiter);
        waiter();
      }),
  };
}
