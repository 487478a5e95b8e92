/** Longest timeout that a message to or from a worker can carry, in milliseconds: 49.7 days. */
const MAX_CARRIED_MS = 2 ** 32 - 1;

/**
 * The timeout of a call as worker messages carry it: whole milliseconds. A longer timeout is sent
 * as the field's maximum, and each side still applies its own.
 */
export function carriedTimeoutMs(ms: number): number {
  return Math.min(Math.ceil(ms), MAX_CARRIED_MS);
}
