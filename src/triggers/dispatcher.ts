import type { Ownership } from "../core/coordinator.ts";
import type { Outbox } from "../core/outbox.ts";
import { type DispatchContext, PartitionDispatcher } from "./partition-dispatcher.ts";
import type { TriggerQueue } from "./trigger-queue.ts";

/** Calls the functions of `stream` triggers, apart from the writes. */
export interface Dispatcher {
  /** The queues of a trigger in this process. */
  queuesOf(triggerId: string): readonly TriggerQueue[];
  /** To be called when triggers or providers change. */
  review(): void;
  /**
   * Starts no more calls. Resolves when the calls in progress have ended. The rest stays in the
   * outbox.
   */
  close(): Promise<void>;
}

/** Dispatches the partitions of an outbox that this process owns. */
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
    queuesOf: (id) =>
      Array.from(owned.values(), ({ queues }) => queues.get(id)).filter(
        (queue) => queue !== undefined,
      ),
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
