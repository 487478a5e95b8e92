import type { Sleeper, WakeSchedule } from "./wake-schedule.ts";

/** Calls a reader who waits: at once, or when its turn comes. */
export class Bell implements Sleeper {
  readonly #schedule: WakeSchedule;
  #listener: (() => void) | undefined;
  #isDue = false;

  constructor(schedule: WakeSchedule) {
    this.#schedule = schedule;
  }

  /** Whether a reader waits. */
  get isAwaited(): boolean {
    return this.#listener !== undefined;
  }

  /** Whether a reader waits for its turn only. */
  get isDue(): boolean {
    return this.#isDue && this.isAwaited;
  }

  /** Asks to be called once. Several may. */
  listen(callback: () => void): void {
    const earlier = this.#listener;
    this.#listener = earlier === undefined ? callback : () => (earlier(), callback());
  }

  /** Calls who waits. */
  wake(): void {
    this.#isDue = false;
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.();
  }

  /** Has who waits called when its turn comes. @returns false when nobody waits, or it was asked before. */
  wakeInTurn(): boolean {
    if (this.#isDue || this.#listener === undefined) return false;
    this.#isDue = true;
    this.#schedule.add(this);
    return true;
  }
}
