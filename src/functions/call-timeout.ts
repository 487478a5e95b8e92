/** Longest time of a call that a message to or from a worker can carry, in milliseconds: 49.7 days. */
const MAX_CARRIED_MS = 2 ** 32 - 1;

/**
 * The time of a call as messages of workers carry it: whole milliseconds. What is longer than the field
 * can hold travels as its maximum, and each side still keeps to its own time.
 */
export function carriedTimeoutMs(ms: number): number {
  return Math.min(Math.ceil(ms), MAX_CARRIED_MS);
}
