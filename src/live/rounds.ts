/** Somebody who has events to deliver. */
export interface Deliverer {
  /**
   * Delivers the next few of what there is.
   *
   * @returns Whether that was all.
   */
  deliver(): boolean;
}

/** The longest time that a round waits for more to go out with it, in milliseconds. */
const MAX_PAUSE_MS = 10;
/** A round of this length or less is followed by the next without a pause, in milliseconds. */
const LIGHT_ROUND_MS = 0.5;
/** The longest time that a round keeps the event loop from other work, in milliseconds. */
const SLICE_MS = 4;
/** How many deliver between two looks at the clock. */
const PER_STEP = 16;

/**
 * Has events delivered in rounds, so that each subscriber hears all there is at once: what a write to
 * its connection costs is paid once for several events, not for each.
 *
 * A round begins at the end of the turn of the event loop in which the first of it was added: what is
 * seldom is not delayed. Under load there is a pause after a round, as long as the round was and never
 * longer than MAX_PAUSE_MS, in which events gather. A long round is cut into slices, between which the
 * event loop does its other work, and a slice into steps, between which Node does what follows a write:
 * each connection is still in the processor's caches then. Who was added first delivers first.
 */
export class Rounds {
  #due: Deliverer[] = [];
  /** The round under way, and how many of it are done. */
  #round: Deliverer[] = [];
  #done = 0;
  #roundMs = 0;
  #sliceStartMs = 0;
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
    this.#sliceStartMs = performance.now();
    this.#step();
  };

  readonly #step = (): void => {
    for (let count = 0; count < PER_STEP && this.#done < this.#round.length; count++) {
      if (!(this.#round[this.#done] as Deliverer).deliver()) break;
      this.#done++;
    }
    const nowMs = performance.now();
    const sliceMs = nowMs - this.#sliceStartMs;
    const isOver = this.#done === this.#round.length;
    if (!isOver && sliceMs < SLICE_MS) return process.nextTick(this.#step);
    this.#roundMs += sliceMs;
    if (isOver) this.#end(nowMs);
    else setImmediate(this.#slice);
  };

  #end(nowMs: number): void {
    this.#round = [];
    const pauseMs = this.#roundMs > LIGHT_ROUND_MS ? Math.min(this.#roundMs, MAX_PAUSE_MS) : 0;
    this.#notBeforeMs = nowMs + pauseMs;
    this.#isPlanned = false;
    if (this.#due.length > 0) this.#plan();
  }
}
