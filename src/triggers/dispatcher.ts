import type { Ownership } from "../core/coordinator.ts";
import type { Outbox } from "../core/outbox.ts";
import { type DispatchContext, PartitionDispatcher } from "./partition-dispatcher.ts";
import { type Timer, startInterval } from "../timers/timers.ts";
import type { TriggerQueue } from "./trigger-queue.ts";

/** Calls the functions of `stream` triggers, apart from the writes. */
export interface Dispatcher {
  /** The queues of a trigger in this process. */
  queuesOf(triggerId: string): readonly TriggerQueue[];
  /** Timestamp of the oldest event in the queues of a trigger; undefined: none waits here. */
  oldestOf(triggerId: string): Promise<number | undefined>;
  /** To be called when triggers or providers change. */
  review(): void;
  /**
   * Starts no more calls. Resolves when the calls in progress have ended. The rest stays in the
   * outbox.
   */
  close(): Promise<void>;
}

/** Longest pause between two sweeps, in milliseconds. */
const MAX_SWEEP_MS = 60_000;
/** Shortest pause between two checks for lost history, in milliseconds. */
const CHECK_MS = 10_000;
/** Number of sweeps within the shortest `max_away`. */
const SWEEPS_PER_AWAY = 10;

/** Dispatches the partitions of an outbox that this process owns. */
export function createDispatcher(
  context: DispatchContext,
  outbox: Outbox,
  ownership: Ownership,
): Dispatcher {
  const owned = new Map<number, PartitionDispatcher>();
  const closing = new Set<Promise<void>>();
  let sweep: Timer | undefined;
  let sweepMs: number | undefined;
  let sweeping: Promise<void> | undefined;
  let isClosed = false;
  /** When the lineages were checked last. */
  let checkedMs = -Infinity;
  const drop = async (partition: number) => {
    const dispatcher = owned.get(partition);
    owned.delete(partition);
    if (dispatcher === undefined) return;
    const closed = dispatcher.close().finally(() => closing.delete(closed));
    closing.add(closed);
    await closed;
  };
  /** The owner of the first partition does it for all. */
  const startOverLost = async () => {
    if (!owned.has(0) || performance.now() - checkedMs < CHECK_MS) return;
    checkedMs = performance.now();
    await context.startOverLost(context.bindings.ofType("stream"));
  };
  const tend = async () => {
    for (const dispatcher of owned.values())
      await dispatcher.dropLate(context.clock()).catch(context.onError);
    await startOverLost().catch(context.onError);
  };
  /** Sweeps while there are durable triggers, often enough for the one that waits the shortest. */
  const reviewSweep = () => {
    let shortestMs = Infinity;
    for (const { definition } of context.bindings.ofType("stream"))
      shortestMs = Math.min(shortestMs, definition.config.maxAwayMs ?? Infinity);
    const everyMs =
      shortestMs === Infinity ? undefined : Math.min(MAX_SWEEP_MS, shortestMs / SWEEPS_PER_AWAY);
    if (everyMs === sweepMs || isClosed) return;
    sweepMs = everyMs;
    sweep?.cancel();
    sweep =
      everyMs === undefined
        ? undefined
        : startInterval(everyMs, () => {
            sweeping ??= tend().finally(() => (sweeping = undefined));
          }).unref();
  };
  const yieldAll = ownership.contend(outbox.partitions, {
    gained(partition, fence) {
      void drop(partition);
      owned.set(partition, new PartitionDispatcher(context, { outbox, partition, fence }));
      // After everything that gains partitions is set up.
      if (partition !== 0) return;
      checkedMs = -Infinity;
      setImmediate(() => void startOverLost().catch(context.onError));
    },
    lost: drop,
  });
  return {
    queuesOf: (id) =>
      Array.from(owned.values(), ({ queues }) => queues.get(id)).filter(
        (queue) => queue !== undefined,
      ),
    async oldestOf(id) {
      const oldest = await Promise.all(Array.from(owned.values(), (each) => each.oldestOf(id)));
      const known = oldest.filter((timestamp) => timestamp !== undefined);
      return known.length === 0 ? undefined : Math.min(...known);
    },
    review() {
      for (const dispatcher of owned.values()) dispatcher.review();
      reviewSweep();
    },
    async close() {
      sweep?.cancel();
      isClosed = true;
      for (const partition of Array.from(owned.keys())) void drop(partition);
      await Promise.all(closing);
      yieldAll();
    },
  };
}
