import { type Timer, startInterval } from "./timers.ts";

/** Length of a slot, and of the time between two ticks, in milliseconds. */
const SLOT_MS = 50;

/** A call at a moment. */
export interface PlannedCall {
  /** Takes the call back. Idempotent. */
  cancel(): void;
}

/**
 * Calls back at moments of the wall clock, with one timer for all of them: there may be one for
 * each of many thousand connections. A call is never early, and late by 100 ms at most; one whose
 * moment has passed comes within 100 ms.
 *
 * It is a timer wheel: the moments are in slots of 50 ms, and each tick looks at the slots that have
 * passed since the last one. The timer runs only while there are moments to come. It follows
 * the clock when that is set.
 */
export class Moments {
  readonly #clock: () => number;
  readonly #slots = new Map<number, Set<() => void>>();
  /** The first slot that has not passed. */
  #next: number;
  #ticks: Timer | undefined;

  /** @param clock Wall clock, Unix milliseconds. */
  constructor(clock: () => number = Date.now) {
    this.#clock = clock;
    this.#next = this.#slotNow();
  }

  /** Calls back at a moment, in Unix milliseconds. The callback must not throw. */
  at(moment: number, callback: () => void): PlannedCall {
    if (this.#ticks === undefined) {
      this.#next = this.#slotNow();
      this.#ticks = startInterval(SLOT_MS, () => this.#tick()).unref();
    }
    const slot = Math.max(Math.ceil(moment / SLOT_MS), this.#next);
    let calls = this.#slots.get(slot);
    if (calls === undefined) this.#slots.set(slot, (calls = new Set()));
    // A function of its own, because the same callback may be given twice.
    const call = () => callback();
    calls.add(call);
    return { cancel: () => this.#cancel(slot, call) };
  }

  #cancel(slot: number, call: () => void): void {
    const calls = this.#slots.get(slot);
    if (calls?.delete(call) === true && calls.size === 0) this.#remove(slot);
  }

  #tick(): void {
    const now = this.#slotNow();
    const passed = this.#passed(now);
    // Before the calls, which may add moments.
    this.#next = now + 1;
    for (const slot of passed) {
      for (const call of this.#slots.get(slot) ?? []) call();
      this.#remove(slot);
    }
  }

  /** The slots that have passed. After a leap of the clock, there are fewer slots than moments. */
  #passed(now: number): number[] {
    if (now - this.#next > this.#slots.size)
      return Array.from(this.#slots.keys()).filter((slot) => slot <= now);
    const passed: number[] = [];
    for (let slot = this.#next; slot <= now; slot++) if (this.#slots.has(slot)) passed.push(slot);
    return passed;
  }

  #remove(slot: number): void {
    this.#slots.delete(slot);
    if (this.#slots.size > 0) return;
    this.#ticks?.cancel();
    this.#ticks = undefined;
  }

  #slotNow(): number {
    return Math.floor(this.#clock() / SLOT_MS);
  }
}
