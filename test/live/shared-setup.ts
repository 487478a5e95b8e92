import type { GroupKey } from "../../src/core/names.ts";
import type { Store } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import { Hub } from "../../src/live/hub.ts";
import { SharedSubscription } from "../../src/live/shared-subscription.ts";
import { SharedReader, View } from "./shared-reader.ts";

/** The group that tests of shared subscriptions follow. */
export const GROUP: GroupKey = { streamName: "s", groupId: "g" };
/** How long a subscription may be quiet, in milliseconds. */
export const INTERVAL_MS = 15_000;

/** Opens a shared subscription to a store, with its reader. */
export function openShared(store: Store, now: () => number = () => 0, maxFrames = 1000) {
  const hub = new Hub({
    store,
    now,
    heartbeatIntervalMs: INTERVAL_MS,
    stallTimeoutMs: 60_000,
    queueLimits: { maxBytes: 1 << 20, maxFrames },
  });
  const shared = new SharedSubscription<View>({
    subscribe: (interest, resumeFrom) => hub.follow({ group: GROUP, interest, resumeFrom }),
    now,
  });
  const reader = new SharedReader(shared);
  /** Starts a join. */
  const start = (
    itemId?: string,
    from?: View,
    deltas = false,
  ): { view: View; joined: Promise<void> } => {
    const view = new View(itemId, deltas);
    if (from !== undefined) view.continueFrom(from);
    reader.members.add(view);
    const joined = shared.join(view, from?.position);
    joined.catch(() => reader.members.delete(view));
    return { view, joined };
  };
  /** Joins, and reads until the member has its state. */
  const join = async (itemId?: string, from?: View, deltas = false): Promise<View> => {
    const { view } = start(itemId, from, deltas);
    while (!view.isOpen) await reader.next();
    return view;
  };
  const leave = (view: View) => {
    reader.members.delete(view);
    shared.leave(view);
  };
  return { hub, shared, reader, start, join, leave };
}

/** Stores a number. Followers of the group have received it then, unless their feed is slow. */
export async function put(store: Store, itemId: string, json: number): Promise<void> {
  await fill(store, [itemId], json);
  await round();
}

/** Stores the same number in items, without waiting for followers. */
export async function fill(store: Store, itemIds: readonly string[], json: number): Promise<void> {
  for (const itemId of itemIds)
    await store.run(GROUP, [{ mutations: [{ kind: "put", itemId, value: Value.of(json) }] }]);
}

/** The ids of `count` items. */
export const idsOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `i${i}`);

/** Longer than any pause between rounds of deliveries, in milliseconds. */
const LONGER_THAN_A_PAUSE_MS = 12;

/**
 * Waits until followers have received announced events: every round planned before is over then.
 */
export async function round(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, LONGER_THAN_A_PAUSE_MS));
  await turns();
}

/** Lets all other work of the process run first, for a few turns. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A gate at which calls wait while it is closed. */
export function createGate() {
  let release = () => {};
  let closed: Promise<void> | undefined;
  return {
    close(): void {
      closed = new Promise((resolve) => (release = resolve));
    },
    open: () => release(),
    pass: () => closed ?? Promise.resolve(),
  };
}
