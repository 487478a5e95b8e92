import { Fifo } from "../../core/fifo.ts";
import { isKeyExpired, mustForgetKey } from "../../core/idempotency.ts";
import type { KeysExtent } from "../../core/idempotency.ts";
import type { Remembered } from "../../core/idempotency-key.ts";

interface Entry {
  readonly id: string;
  /** When it was remembered; never earlier than the entry before. */
  readonly timeMs: number;
  readonly remembered: Remembered;
}

/** The idempotency keys that a group remembers. */
export class RememberedKeys {
  readonly #windowMs: number;
  readonly #byId = new Map<string, Entry>();
  /** The same entries, the oldest first. */
  readonly #order = new Fifo<Entry>();
  #oldestMs = 0;
  #newestMs = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Their number and age. */
  get extent(): KeysExtent {
    return { count: this.#order.length, oldestMs: this.#oldestMs };
  }

  /** What is remembered under an id (see keyIdOf). */
  get(id: string, nowMs: number): Remembered | undefined {
    const entry = this.#byId.get(id);
    if (entry === undefined || isKeyExpired(entry.timeMs, nowMs, this.#windowMs)) return undefined;
    return entry.remembered;
  }

  /** Remembers a commit, and forgets what is too old or too much. */
  add(id: string, remembered: Remembered, nowMs: number): void {
    this.#newestMs = Math.max(this.#newestMs, nowMs);
    const entry = { id, timeMs: this.#newestMs, remembered };
    if (this.#order.length === 0) this.#oldestMs = entry.timeMs;
    this.#byId.set(id, entry);
    this.#order.push(entry);
    this.trim(nowMs);
  }

  /** Forgets what is too old or too much. */
  trim(nowMs: number): void {
    while (mustForgetKey(this.extent, nowMs, this.#windowMs)) {
      const entry = this.#order.shift();
      // An expired key that was used again has a newer entry.
      if (entry !== undefined && this.#byId.get(entry.id) === entry) this.#byId.delete(entry.id);
      this.#oldestMs = this.#order.first()?.timeMs ?? 0;
    }
  }
}
