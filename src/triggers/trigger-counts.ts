/** Outcomes of the events of a trigger, since this process started. */
export interface TriggerCounts {
  /** Calls that succeeded. */
  readonly fired: number;
  /** Skipped by the condition. */
  readonly skipped: number;
  /** Given up after an error of its function or its condition. */
  readonly failed: number;
  /** Attempts after the first. */
  readonly retried: number;
  /**
   * Dropped without a call: too many waited, a provider was away for too long, or the chain of
   * functions was too long. Of a trigger with `start`, the state of their groups replaces them.
   */
  readonly dropped: number;
}

/** Mutable counts. */
export type Tally = { -readonly [Count in keyof TriggerCounts]: number };

/** Counts of zero. */
export function newTally(): Tally {
  return { fired: 0, skipped: 0, failed: 0, retried: 0, dropped: 0 };
}
