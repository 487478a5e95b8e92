import { type Timer, startTimer } from "../timers/timers.ts";
import { type EndingOptions, endItems } from "./item-ends.ts";

/** Dependencies and limits of expiry. */
export interface ExpiryOptions extends EndingOptions {
  /** Pause between two looks at what has expired, in milliseconds. Default 500. */
  readonly intervalMs?: number | undefined;
  /** Notified when the store fails. Expired items are deleted once it works again. */
  readonly onProblem: (error: unknown) => void;
}

/** Most items that are read and deleted before the event loop serves others. */
const MAX_AT_ONCE = 256;

/** The running expiry of a store's items. */
export interface Expiry {
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
export function startExpiry(options: ExpiryOptions): Expiry {
  const { store, intervalMs = 500, onProblem } = options;
  let isClosed = false;
  let timer: Timer | undefined;
  let sweeping: Promise<void> | undefined;

  const sweepAll = async () => {
    while (!isClosed) {
      const items = await store.lifetimes.expired(MAX_AT_ONCE);
      if (items.length === 0) return;
      const ending = items.map((item) => ({
        ...item,
        onlyIf: { expireTimeMs: item.expireTimeMs },
      }));
      const count = await endItems(ending, "expired", options);
      // Without progress, another look at once would find the same.
      if (items.length < MAX_AT_ONCE || count === 0) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const sweep = () =>
    (sweeping ??= sweepAll().finally(() => {
      sweeping = undefined;
    }));
  const schedule = () => {
    if (isClosed) return;
    timer = startTimer(intervalMs, () => void sweep().catch(onProblem).then(schedule)).unref();
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
