/** Thrown when a check has burned all its fuel. */
export class OutOfFuel extends Error {
  override readonly name = "OutOfFuel";
}

/** Steps of the smallest check. */
const MIN_STEPS = 100_000;
/** Additional steps per byte of the value: a schema visits each part of a value a few times. */
const STEPS_PER_BYTE = 8;
/**
 * Largest sum of characters times states of patterns. Each takes a nanosecond where the pattern is
 * simple enough for an automaton, and 70 with the most hostile ones.
 */
const MAX_MATCHING = 32_000_000;

/**
 * The budget of one check. Every step of a schema burns some, so a check ends soon, whatever the
 * schema and the value are. Fuel counts work and not time: a value has the same result on every
 * machine.
 */
export class Fuel {
  #steps = Infinity;
  #matching = Infinity;

  /** Begins a check. @param bytes Size of the value. */
  fill(bytes: number): void {
    this.#steps = MIN_STEPS + STEPS_PER_BYTE * bytes;
    this.#matching = MAX_MATCHING;
  }

  /** Takes steps. @throws OutOfFuel */
  burn(steps: number): void {
    this.#steps -= steps;
    if (this.#steps < 0) throw new OutOfFuel();
  }

  /** Matches a text. @param work Characters times states of the pattern. @throws OutOfFuel */
  burnMatching(work: number): void {
    this.burn(4);
    this.#matching -= work;
    if (this.#matching < 0) throw new OutOfFuel();
  }
}
