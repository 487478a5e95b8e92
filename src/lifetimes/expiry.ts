import { type Timer, startTimer } from "../timers/timers.ts";
import type { ExpiredItem } from "../core/lifetime.ts";
import { type EndingItem, type EndingOptions, endItems } from "./item-ends.ts";

/** Dependencies and limits of expiry. */
export interface ItemExpiryOptions extends EndingOptions {
  /** Pause between two sweeps, in milliseconds. Default 500. */
  readonly intervalMs?: number | undefined;
  /**
   * Notified when the store begins to fail, not of each attempt. Expired items are deleted once it
   * works again.
   */
  readonly onProblem: (error: unknown) => void;
}

/** Most items that are read at once. */
const MAX_READ = 256;
/** Most items that are deleted before the event loop serves others. */
const MAX_AT_ONCE = 32;

/** The running expiry of a store's items. */
export interface ItemExpiry {
  /** Deletes what has expired by now. */
  sweep(): Promise<void>;
  /** Stops, and waits for what is under way. Idempotent. */
  close(): Promise<void>;
}

/**
 * Deletes items when their time has passed, in slices, until it is closed.
 *
 * In a fleet every process runs it, and each one's store lists only the groups that it is
 * responsible for. The delete itself is conditional on the lifetime that was read, so an item
 * expires once even where two processes believe that they are responsible.
 */
export function startExpiry(options: ItemExpiryOptions): ItemExpiry {
  const { store, intervalMs = 500, onProblem } = options;
  let isClosed = false;
  let timer: Timer | undefined;
  let sweeping: Promise<void> | undefined;

  const sweepAll = async () => {
    while (!isClosed) {
      const items = await store.lifetimes.expired(MAX_READ);
      const ends: Promise<number>[] = [];
      for (let at = 0; at < items.length && !isClosed; at += MAX_AT_ONCE) {
        const end = endItems(items.slice(at, at + MAX_AT_ONCE).map(ending), "expired", options);
        // Its failure is reported by the sweep, which may not await it yet.
        end.catch(() => {});
        ends.push(end);
        await new Promise((resolve) => setImmediate(resolve));
      }
      const counts = await Promise.all(ends);
      // Without progress, reading again at once would find the same.
      if (counts.every((count) => count === 0)) return;
    }
  };
  const sweep = () =>
    (sweeping ??= sweepAll().finally(() => {
      sweeping = undefined;
    }));
  let isFailing = false;
  const sweepDue = async () => {
    try {
      await sweep();
      isFailing = false;
    } catch (error) {
      if (!isFailing) onProblem(error);
      isFailing = true;
    }
  };
  const schedule = () => {
    if (isClosed) return;
    timer = startTimer(intervalMs, () => void sweepDue().then(schedule)).unref();
  };
  schedule();
  return {
    sweep,
    async close() {
      isClosed = true;
      timer?.cancel();
      await sweeping?.catch(() => {});
    },
  };
}

/** The delete of an item that expires, unless its lifetime has changed since it was read. */
function ending(item: ExpiredItem): EndingItem {
  return { ...item, onlyIf: { expireTimeMs: item.expireTimeMs } };
}
