/** Options of the wait between attempts. */
export interface Backoff {
  /** Wait before the second attempt, in milliseconds. It doubles with each further one. */
  readonly initialMs: number;
  /**
   * From 0 to below 1: shortens the wait by up to half, so that calls that fail together spread
   * out.
   */
  readonly random: () => number;
}

/** Wait after a failed attempt, in milliseconds: at least what the response asked for. */
export function backoffAfter(
  attempt: number,
  { initialMs, random }: Backoff,
  askedMs: number | undefined,
): number {
  const whole = initialMs * 2 ** (attempt - 1);
  return Math.max(Math.round(whole * (1 - random() / 2)), askedMs ?? 0);
}

/** Parses a `retry-after`, in seconds or a date, to milliseconds; undefined when it is neither. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
