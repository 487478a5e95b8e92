import type { StreamError } from "../core/errors.ts";

/** How long an end holds, in milliseconds: longer than the lease of a process. */
const HOLDS_MS = 60_000;
/** Most ends that hold at a time; beyond them, the oldest one no longer does. */
const MAX_ENDS = 10_000;

/**
 * The ends of subscriptions that were ordered lately, for those that reach this process afterwards:
 * they were on their way from another process, or waited there until its lease ended (G11).
 */
export class RecentEnds<Subscription> {
  readonly #now: () => number;
  /** The oldest first. */
  readonly #ends: {
    readonly matches: (subscription: Subscription) => boolean;
    readonly error: StreamError;
    readonly untilMs: number;
  }[] = [];

  /** @param now Monotonic clock, in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Takes note of an order to end the matching subscriptions. */
  add(matches: (subscription: Subscription) => boolean, error: StreamError): void {
    this.#ends.push({ matches, error, untilMs: this.#now() + HOLDS_MS });
    this.#forget();
  }

  /** Why a subscription is over; undefined: it is not. */
  endOf(subscription: Subscription): StreamError | undefined {
    this.#forget();
    return this.#ends.find(({ matches }) => matches(subscription))?.error;
  }

  #forget(): void {
    const nowMs = this.#now();
    let passed = Math.max(0, this.#ends.length - MAX_ENDS);
    while ((this.#ends[passed]?.untilMs ?? Infinity) <= nowMs) passed++;
    if (passed > 0) this.#ends.splice(0, passed);
  }
}
