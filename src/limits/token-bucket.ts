/** A rate with a burst. */
export interface Rate {
  /** Average number per second. */
  readonly perSecond: number;
  /** Largest number at once, after a pause. */
  readonly burst: number;
}

/** A token bucket: holds up to `burst` tokens and gains `perSecond` of them each second. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #updatedAtMs: number;

  /** @param nowMs Time of a monotonic clock, in milliseconds. */
  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#updatedAtMs = nowMs;
  }

  /**
   * Takes a token.
   *
   * @returns 0 when one was taken; otherwise none is taken, and this is the time until there is
   *   one, in milliseconds.
   */
  take(nowMs: number): number {
    const waitMs = this.wait(nowMs);
    if (waitMs === 0) this.#tokens--;
    return waitMs;
  }

  /** Time until there is a token, in milliseconds; takes none. */
  wait(nowMs: number): number {
    const { perSecond, burst } = this.#rate;
    const gained = ((nowMs - this.#updatedAtMs) * perSecond) / 1000;
    this.#tokens = Math.min(burst, this.#tokens + gained);
    this.#updatedAtMs = nowMs;
    return this.#tokens < 1 ? ((1 - this.#tokens) * 1000) / perSecond : 0;
  }
}
