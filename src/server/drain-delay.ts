import { type Timer, startTimer } from "../timers/timers.ts";

/** A wait that can be shortened while it lasts, and never gets longer. */
export interface DrainDelay {
  /** Resolves when the wait is over. */
  readonly over: Promise<void>;
  /** Ends it after this time at the latest, in milliseconds; 0: at once. */
  endWithin(ms: number): void;
}

/** Makes a wait that lasts until `endWithin` says otherwise. */
export function createDrainDelay(): DrainDelay {
  let end = () => {};
  const over = new Promise<void>((resolve) => (end = resolve));
  let endMs = Infinity;
  let timer: Timer | undefined;
  return {
    over,
    endWithin(ms) {
      const proposedMs = performance.now() + ms;
      if (proposedMs >= endMs) return;
      endMs = proposedMs;
      timer?.cancel();
      if (ms <= 0) end();
      else timer = startTimer(ms, end);
    },
  };
}
