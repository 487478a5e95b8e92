/** What has become of what a trigger was fired with, since this process began. */
export interface TriggerCounts {
  /** Calls that its function answered. */
  readonly fired: number;
  /** Held back by the condition. */
  readonly skipped: number;
  /** Given up after an error of its function or its condition. */
  readonly failed: number;
  /** Attempts after the first. */
  readonly retried: number;
  /** Let go without a call: too many waited, or functions led to one another too often. */
  readonly dropped: number;
}

/** Counts while it counts. */
export type Tally = { -readonly [Count in keyof TriggerCounts]: number };

/** Nothing counted yet. */
export function newTally(): Tally {
  return { fired: 0, skipped: 0, failed: 0, retried: 0, dropped: 0 };
}
