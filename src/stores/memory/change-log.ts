import type { ChangeEvent } from "../../core/change.ts";
import { type LogEntry, entryOf, entrySize } from "../../core/log-entry.ts";
import { NO_PINS, pinsFrom, storedFrom, withPin } from "../../core/log-pins.ts";
import type { LogExtent } from "../../core/retention.ts";

/**
 * A group's recent changes, oldest first, contiguous, and the bases that they need. Every operation
 * is amortized O(1).
 */
export class ChangeLog {
  #entries: (LogEntry | undefined)[] = [];
  // Dropped entries leave empty slots until these are half of the array.
  #dropped = 0;
  /** Revision of the first slot. */
  #offset = 1;
  /** Revision of the oldest change, and of the one after the newest. */
  #start = 1;
  #end = 1;
  #bytes = 0;
  #pins = NO_PINS;

  /** Its size and age. */
  get extent(): LogExtent {
    return {
      count: this.#end - this.#start,
      bytes: this.#bytes,
      oldestTimeMs: this.at(this.#start)?.timeMs ?? 0,
    };
  }

  /** Revision of the oldest change; one after the newest while it is empty. */
  get start(): number {
    return this.#start;
  }

  /** Adds the newest change. */
  push(change: ChangeEvent): void {
    const base = change.delta?.baseRevision ?? 0;
    const entry = entryOf(change, () => this.at(base), this.#start);
    if (entry.kind === "delta")
      this.#pins = withPin(this.#pins, entry.chain.wholeRevision, this.#end);
    this.#entries.push(entry);
    this.#end += 1;
    this.#bytes += entrySize(entry);
  }

  /** Drops the oldest change, if there is one. It stays stored while others need it. */
  dropOldest(): void {
    const oldest = this.at(this.#start);
    if (this.#start === this.#end || oldest === undefined) return;
    this.#bytes -= entrySize(oldest);
    this.#start += 1;
    this.#pins = pinsFrom(this.#pins, this.#start);
    const first = storedFrom(this.#pins, this.#start);
    for (; this.#offset + this.#dropped < first; this.#dropped++)
      this.#entries[this.#dropped] = undefined;
    if (this.#dropped * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#dropped);
    this.#offset += this.#dropped;
    this.#dropped = 0;
  }

  /** The entry of a change, or one that another needs; undefined when it is not stored. */
  at(revision: number): LogEntry | undefined {
    return this.#entries[revision - this.#offset];
  }
}
