/** Delivers its pending events in a round. */
export interface Deliverer {
  /**
   * Delivers some of the pending events.
   *
   * @returns Whether none are left.
   */
  deliver(): boolean;
}

/** The longest pause between two rounds, in milliseconds. */
const MAX_PAUSE_MS = 10;
/** No pause follows a round of at most this length, in milliseconds. */
const LIGHT_ROUND_MS = 0.5;
/** The longest time that a round keeps the event loop from other work, in milliseconds. */
const SLICE_MS = 4;
/** How many calls of deliver() are made between two readings of the clock. */
const PER_STEP = 16;

/**
 * Delivers events in rounds, so that each subscriber receives several at once: one write to its
 * connection serves several events.
 *
 * A round begins at the end of the event-loop turn in which its first deliverer was added: rare
 * events are not delayed. Under load a pause follows each round, as long as the round but at most
 * MAX_PAUSE_MS, in which events gather. A long round is cut into slices, between which the event
 * loop does its other work, and a slice into steps, between which Node finishes the writes: each
 * connection is still in the processor's caches then. Deliverers run in the order in which they
 * were added.
 */
export class DeliveryScheduler {
  #due: Deliverer[] = [];
  /** The round under way, and how many of its deliverers are done. */
  #round: Deliverer[] = [];
  #done = 0;
  #roundMs = 0;
  #sliceStartMs = 0;
  #isPlanned = false;
  #notBeforeMs = 0;

  /** Adds a deliverer to the next round, which calls it until it has nothing left. */
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
