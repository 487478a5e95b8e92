/** A rate with a burst. */
export interface Rate {
  /** Average number per second. */
  readonly perSecond: number;
  /** Largest number at once, after a pause. */
  readonly burst: number;
}

/**
 * A token bucket: holds up to `burst` tokens and gains `perSecond` of them each second.
 *
 * There are two for each socket, so it calculates in whole thousandths of a token and whole
 * milliseconds: such numbers need no memory of their own.
 */
export class TokenBucket {
  readonly #rate: Rate;
  #thousandths: number;
  #updatedAtMs: number;

  /** @param nowMs Time of a monotonic clock, in milliseconds. */
  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#thousandths = Math.floor(rate.burst * 1000);
    this.#updatedAtMs = Math.floor(nowMs);
  }

  /**
   * Takes a token.
   *
   * @returns 0 when one was taken; otherwise none is taken, and this is the time until there is
   *   one, in milliseconds.
   */
  take(nowMs: number): number {
    const waitMs = this.wait(nowMs);
    if (waitMs === 0) this.#thousandths -= 1000;
    return waitMs;
  }

  /** Time until there is a token, in milliseconds; takes none. */
  wait(nowMs: number): number {
    const { perSecond, burst } = this.#rate;
    const wholeMs = Math.floor(nowMs);
    const gained = (wholeMs - this.#updatedAtMs) * perSecond;
    // A rate below one per second gains less than a thousandth in a millisecond.
    if (gained >= 1) {
      this.#thousandths = Math.min(
        Math.floor(burst * 1000),
        this.#thousandths + Math.floor(gained),
      );
      this.#updatedAtMs = wholeMs;
    }
    return this.#thousandths < 1000 ? (1000 - this.#thousandths) / perSecond : 0;
  }
}
