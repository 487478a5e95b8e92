/** A rate that may be exceeded for a moment. */
export interface Rate {
  /** How many per second for long. */
  readonly perSecond: number;
  /** How many at once after a pause. */
  readonly burst: number;
}

/** A token bucket: holds up to `burst` tokens and gains `perSecond` of them each second. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #updatedAtMs: number;

  /** @param nowMs A clock that never goes back, in milliseconds. */
  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#updatedAtMs = nowMs;
  }

  /**
   * Takes a token.
   *
   * @returns 0 when there was one; otherwise nothing is taken, and this is the time until there will be
   *   one, in milliseconds.
   */
  take(nowMs: number): number {
    const { perSecond, burst } = this.#rate;
    const gained = ((nowMs - this.#updatedAtMs) * perSecond) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + gained);
    this.#updatedAtMs = nowMs;
    if (this.#tokens < 1) return ((1 - this.#tokens) * 1000) / perSecond;
    this.#tokens--;
    return 0;
  }
}
