import { type Timer, startTimer } from "../timers/timers.ts";

/** A wait that can be shortened while it lasts, but never extended. */
export interface DrainDelay {
  /** Resolves when the wait is over. */
  readonly over: Promise<void>;
  /** Ends it after this time at the latest, in milliseconds; 0: at once. */
  endWithin(ms: number): void;
}

/** Starts a wait without an end; `endWithin` sets one. */
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
