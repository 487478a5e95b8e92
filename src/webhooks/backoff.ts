/** How long to wait before an attempt, as far as the caller decides. */
export interface Backoff {
  /** Wait before the second attempt, in milliseconds. It doubles with each further one. */
  readonly initialMs: number;
  /** From 0 to below 1: takes up to half of the wait away, so that many who failed together come apart. */
  readonly random: () => number;
}

/** Wait after an attempt that failed, in milliseconds: at least what the answer asked for. */
export function backoffAfter(
  attempt: number,
  { initialMs, random }: Backoff,
  askedMs: number | undefined,
): number {
  const whole = initialMs * 2 ** (attempt - 1);
  return Math.max(Math.round(whole * (1 - random() / 2)), askedMs ?? 0);
}

/** What a `retry-after` asks for, in milliseconds: seconds or a date; undefined when it is neither. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
