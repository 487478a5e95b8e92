import type { ChangeEvent } from "../../core/change.ts";
import type { LogExtent } from "../../core/retention.ts";

/** A group's recent changes, oldest first, contiguous. Every operation is amortized O(1). */
export class ChangeLog {
  #changes: (ChangeEvent | undefined)[] = [];
  // Dropped changes leave empty slots until these are half of the array.
  #dropped = 0;
  #bytes = 0;

  /** Its size and age. */
  get extent(): LogExtent {
    return {
      count: this.#changes.length - this.#dropped,
      bytes: this.#bytes,
      oldestTimeMs: this.#changes[this.#dropped]?.timeMs ?? 0,
    };
  }

  /** Adds the newest change. */
  push(change: ChangeEvent): void {
    this.#changes.push(change);
    this.#bytes += change.value.size;
  }

  /** Drops the oldest change, if there is one. */
  dropOldest(): void {
    const oldest = this.#changes[this.#dropped];
    if (oldest === undefined) return;
    this.#bytes -= oldest.value.size;
    this.#changes[this.#dropped] = undefined;
    this.#dropped += 1;
    if (this.#dropped * 2 < this.#changes.length) return;
    this.#changes = this.#changes.slice(this.#dropped);
    this.#dropped = 0;
  }

  /** The change `index` places after the oldest; undefined past the newest. */
  at(index: number): ChangeEvent | undefined {
    return this.#changes[this.#dropped + index];
  }
}
