import { setImmediate } from "node:timers/promises";
import type { Item } from "../../core/change.ts";
import { StreamError } from "../../core/errors.ts";
import type {
  ReadLimits,
  SnapshotPage,
  SnapshotReader,
  StateHead,
  WindowPage,
} from "../../core/store.ts";
import type { GroupName } from "./keys.ts";
import { cursorBefore, readItems } from "./reads.ts";
import type { Source } from "./reads.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";

/** A memory budget that several readers share. */
export interface MemoryBudget {
  /** Takes bytes, even beyond the budget. @returns Whether they were within it. */
  take(bytes: number): boolean;
  /** Returns bytes to the budget. */
  give(bytes: number): void;
}

/** A budget of `maxBytes` bytes. */
export function createBudget(maxBytes: number): MemoryBudget {
  let taken = 0;
  return {
    take(bytes) {
      taken += bytes;
      return taken <= maxBytes;
    },
    give(bytes) {
      taken -= bytes;
    },
  };
}

/** Which items of a group a window has. */
export interface WindowExtent {
  /** The cursor of its first item; undefined: that of the group. */
  readonly after: string | undefined;
  /** Number of items of the group. */
  readonly total: number;
}

/** The extent of a window. @param total Number of items of the group. */
export function windowExtent(
  source: Source,
  name: GroupName,
  total: number,
  window: number,
): WindowExtent {
  return { after: total > window ? cursorBefore(source, name, window) : undefined, total };
}

// How much is read in one turn of the event loop when the rest is taken into memory.
const DRAIN_LIMITS: ReadLimits = { maxCount: 1000, maxBytes: 1024 * 1024 };

/**
 * Reads all items of a group in one state, or the newest of them. The state is held for a short
 * time only, because the disk cannot reuse its pages: a reader that takes longer continues from
 * memory.
 */
export class LmdbSnapshotReader implements SnapshotReader {
  readonly stable = true;
  readonly #name: GroupName;
  readonly head: StateHead;
  readonly #onRelease: () => void;
  readonly #budget: MemoryBudget;
  /** Bytes taken from the budget. */
  #bytes = 0;
  readonly #timer: Timer;
  /** The state that it holds; undefined once released. */
  #source: Source | undefined;
  #after: string | undefined;
  readonly #window: WindowExtent | undefined;
  /** Items in memory, with the places of those of a window, and how many of them were read. */
  #items: Item[] = [];
  #places: string[] = [];
  #read = 0;
  #draining: Promise<void> | undefined;
  #closed = false;

  /**
   * @param source Owned by the reader, which releases its view.
   * @param holdMs How long it may hold the view, in milliseconds.
   * @param budget The memory of all readers together.
   * @param onRelease Called when it has released the view.
   * @param window The items to read. Undefined: all, without places.
   */
  constructor(
    source: Source,
    name: GroupName,
    head: StateHead,
    holdMs: number,
    budget: MemoryBudget,
    onRelease: () => void,
    window?: WindowExtent,
  ) {
    this.#window = window;
    this.#after = window?.after;
    this.#source = source;
    this.#name = name;
    this.head = head;
    this.#onRelease = onRelease;
    this.#budget = budget;
    this.#timer = startTimer(holdMs, () => this.takeIntoMemory()).unref();
  }

  async next(limits: ReadLimits): Promise<SnapshotPage> {
    await this.#draining;
    if (this.#closed) throw new StreamError("STORE_UNAVAILABLE", "The snapshot was closed.");
    const { head } = this;
    if (this.#source === undefined) return { ...head, ...this.#nextFromMemory(limits) };
    const page = { ...limits, after: this.#after };
    const places = this.#window === undefined ? undefined : [];
    const { items, next } = readItems(this.#source, this.#name, head.position, page, places);
    this.#after = next;
    if (next === undefined) this.#release();
    return { ...head, items, next, window: this.#windowPage(places), done: next === undefined };
  }

  skip({ next, done }: SnapshotPage): boolean {
    if (this.#closed || this.isLeaving || this.#source === undefined) return false;
    // A page that was read from memory does not contain the start of the next one.
    if (next === undefined && !done) return false;
    this.#after = next;
    if (done) this.#release();
    return true;
  }

  /** Whether the rest is in memory, or being read into it. */
  get isLeaving(): boolean {
    return this.#draining !== undefined;
  }

  /**
   * Reads the rest into memory and releases the state. `next` waits for it, and rejects if it
   * failed.
   */
  takeIntoMemory(): void {
    this.#draining ??= this.#drain();
    this.#draining.catch(() => {
      this.#forget();
      this.#release();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    this.#release();
  }

  #windowPage(places: readonly string[] | undefined): WindowPage | undefined {
    if (this.#window === undefined || places === undefined) return undefined;
    return { places, total: this.#window.total };
  }

  #forget(): void {
    this.#items = [];
    this.#places = [];
    this.#budget.give(this.#bytes);
    this.#bytes = 0;
  }

  async #drain(): Promise<void> {
    while (this.#source !== undefined) {
      const page = { ...DRAIN_LIMITS, after: this.#after };
      const places = this.#window === undefined ? undefined : this.#places;
      const { items, next } = readItems(this.#source, this.#name, this.head.position, page, places);
      const bytes = items.reduce((sum, { value }) => sum + value.size, 0);
      this.#bytes += bytes;
      if (!this.#budget.take(bytes)) {
        throw new StreamError(
          "SLOW_SUBSCRIBER",
          "The snapshot was read too slowly, like too many others; subscribe again when ready.",
        );
      }
      this.#items.push(...items);
      this.#after = next;
      if (next === undefined) this.#release();
      else await setImmediate();
    }
  }

  #nextFromMemory(limits: ReadLimits): Pick<SnapshotPage, "items" | "window" | "done"> {
    const start = this.#read;
    let bytes = 0;
    for (; this.#read < this.#items.length; this.#read++) {
      bytes += this.#items[this.#read]!.value.size;
      if (this.#read > start && (this.#read - start >= limits.maxCount || bytes > limits.maxBytes))
        break;
    }
    return {
      items: this.#items.slice(start, this.#read),
      window: this.#windowPage(this.#places.slice(start, this.#read)),
      done: this.#read === this.#items.length,
    };
  }

  #release(): void {
    if (this.#source === undefined) return;
    this.#timer.cancel();
    this.#source.view.release();
    this.#source = undefined;
    this.#onRelease();
  }
}
