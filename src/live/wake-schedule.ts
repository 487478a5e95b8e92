/** Somebody to be woken. */
export interface Sleeper {
  /** Must return at once, and must not throw. */
  wake(): void;
}

/** The longest time that a round waits for more to go out with it, in milliseconds. */
const MAX_PAUSE_MS = 10;
/** A round of this length or less is followed by the next without a pause, in milliseconds. */
const LIGHT_ROUND_MS = 0.5;
/** The longest time that a round keeps the event loop from other work, in milliseconds. */
const SLICE_MS = 4;
/** How many are woken between two looks at the clock. */
const PER_LOOK = 16;

/**
 * Wakes all who have something to hear in rounds, so that each hears all there is at once: what the
 * write to a connection costs is paid once for several events, not for each.
 *
 * A round begins at the end of the turn of the event loop in which the first of it was added: what is
 * seldom is not delayed. Under load there is a pause after a round, as long as the round was and never
 * longer than MAX_PAUSE_MS, in which events gather. A long round is cut into slices, between which the
 * event loop does its other work. Those who are added first are woken first.
 */
export class WakeSchedule {
  #due: Sleeper[] = [];
  /** The round under way, and how many of it were woken. */
  #round: Sleeper[] = [];
  #woken = 0;
  #roundMs = 0;
  #isPlanned = false;
  #notBeforeMs = 0;

  /** Adds one who is not waiting yet. It is woken once, soon. */
  add(sleeper: Sleeper): void {
    this.#due.push(sleeper);
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
    this.#woken = 0;
    this.#roundMs = 0;
    this.#slice();
  };

  readonly #slice = (): void => {
    const startMs = performance.now();
    let passedMs = 0;
    while (this.#woken < this.#round.length && passedMs < SLICE_MS) {
      const until = Math.min(this.#woken + PER_LOOK, this.#round.length);
      while (this.#woken < until) this.#round[this.#woken++]?.wake();
      passedMs = performance.now() - startMs;
    }
    this.#roundMs += passedMs;
    if (this.#woken < this.#round.length) setImmediate(this.#slice);
    else this.#end(startMs + passedMs);
  };

  #end(nowMs: number): void {
    this.#round = [];
    const pauseMs = this.#roundMs > LIGHT_ROUND_MS ? Math.min(this.#roundMs, MAX_PAUSE_MS) : 0;
    this.#notBeforeMs = nowMs + pauseMs;
    this.#isPlanned = false;
    if (this.#due.length > 0) this.#plan();
  }
}
