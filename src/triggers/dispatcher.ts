import type { Ownership } from "../core/coordinator.ts";
import type { Outbox } from "../core/outbox.ts";
import { type DispatchContext, PartitionDispatcher } from "./partition-dispatcher.ts";
import type { TriggerLane } from "./trigger-lane.ts";

/** Calls the functions of `stream` triggers, off the way of the writes. */
export interface Dispatcher {
  /** What is under way for a trigger here. */
  lanesOf(triggerId: string): readonly TriggerLane[];
  /** To be called when triggers or providers came or went. */
  review(): void;
  /** Begins no more calls. Resolves when those under way are over. What was not called stays in the outbox. */
  close(): Promise<void>;
}

/** Dispatches what this process owns of an outbox. */
export function createDispatcher(
  context: DispatchContext,
  outbox: Outbox,
  ownership: Ownership,
): Dispatcher {
  const owned = new Map<number, PartitionDispatcher>();
  const closing = new Set<Promise<void>>();
  const drop = async (partition: number) => {
    const dispatcher = owned.get(partition);
    owned.delete(partition);
    if (dispatcher === undefined) return;
    const closed = dispatcher.close().finally(() => closing.delete(closed));
    closing.add(closed);
    await closed;
  };
  const yieldAll = ownership.contend(outbox.partitions, {
    gained(partition, fence) {
      void drop(partition);
      owned.set(partition, new PartitionDispatcher(context, { outbox, partition, fence }));
    },
    lost: drop,
  });
  return {
    lanesOf: (id) =>
      Array.from(owned.values(), ({ lanes }) => lanes.get(id)).filter((lane) => lane !== undefined),
    review() {
      for (const dispatcher of owned.values()) dispatcher.review();
    },
    async close() {
      for (const partition of Array.from(owned.keys())) void drop(partition);
      await Promise.all(closing);
      yieldAll();
    },
  };
}
