/** Thrown when a check has used up its fuel. */
export class OutOfFuel extends Error {
  override readonly name = "OutOfFuel";
}

/** Steps of the smallest check. */
const MIN_STEPS = 100_000;
/** More steps per byte of the value: a schema looks at each part of a value a few times. */
const STEPS_PER_BYTE = 8;
/**
 * Most characters times states of patterns. Patterns that are simple enough for an automaton take a
 * nanosecond for each, the most hostile ones take 70.
 */
const MAX_MATCHING = 32_000_000;

/**
 * What one check may cost. Everything that a schema does burns some, so that a check ends soon,
 * whatever the schema and the value are. It counts work and not time: the same value has the same
 * result on every machine.
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
