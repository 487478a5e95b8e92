/** Somebody who has events to deliver. */
export interface Deliverer {
  /**
   * Delivers what there is, or the more of it until a time of `performance.now()` has come.
   *
   * @returns Whether that was all.
   */
  deliver(untilMs: number): boolean;
}

/** The longest time that a round waits for more to go out with it, in milliseconds. */
const MAX_PAUSE_MS = 10;
/** A round of this length or less is followed by the next without a pause, in milliseconds. */
const LIGHT_ROUND_MS = 0.5;
/** The longest time that a round keeps the event loop from other work, in milliseconds. */
const SLICE_MS = 4;

/**
 * Has events delivered in rounds, so that each subscriber hears all there is at once: what a write to
 * its connection costs is paid once for several events, not for each.
 *
 * A round begins at the end of the turn of the event loop in which the first of it was added: what is
 * seldom is not delayed. Under load there is a pause after a round, as long as the round was and never
 * longer than MAX_PAUSE_MS, in which events gather. A long round is cut into slices, between which the
 * event loop does its other work. Who was added first delivers first.
 */
export class Rounds {
  #due: Deliverer[] = [];
  /** The round under way, and how many of it are done. */
  #round: Deliverer[] = [];
  #done = 0;
  #roundMs = 0;
  #isPlanned = false;
  #notBeforeMs = 0;

  /** Adds one who has something to deliver, and is called once, soon. */
  add(deliverer: Deliverer): void {
    this.#due.push(deliverer);
    if (!this.#isPlanned) this.#plan();
  }

  #plan(): void {
    this.#isPlanned = true;
    const waitMs = this.#notBeforeMs - performance.now();
    if (waitMs < LIGHT_ROUND_MS) setImmediate(this.#begin);
    else setTimeout(this.#begin, waitMs);
  }

  readonly #begin = (): void => {
    this.#round = this.#due;
    this.#due = [];
    this.#done = 0;
    this.#roundMs = 0;
    this.#slice();
  };

  readonly #slice = (): void => {
    const startMs = performance.now();
    const untilMs = startMs + SLICE_MS;
    let nowMs = startMs;
    for (let next; nowMs < untilMs; nowMs = performance.now()) {
      next = this.#round[this.#done];
      if (next === undefined) break;
      if (next.deliver(untilMs)) this.#done++;
    }
    this.#roundMs += nowMs - startMs;
    if (this.#done < this.#round.length) setImmediate(this.#slice);
    else this.#end(nowMs);
  };

  #end(nowMs: number): void {
    this.#round = [];
    const pauseMs = this.#roundMs > LIGHT_ROUND_MS ? Math.min(this.#roundMs, MAX_PAUSE_MS) : 0;
    this.#notBeforeMs = nowMs + pauseMs;
    this.#isPlanned = false;
    if (this.#due.length > 0) this.#plan();
  }
}
