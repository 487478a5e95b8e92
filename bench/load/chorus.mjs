/* Many followers that receive the same bytes. */
import { Latencies } from "../lib/arithmetic.mjs";

/** Longest time until one more event has reached all followers, in milliseconds. */
const PATIENCE_MS = 20_000;

/**
 * @typedef {(bytes: Buffer, at: number, end: number) => number} Splitter End of the message at an
 * offset; -1 if incomplete.
 */

/** The progress of one follower. */
export class Follower {
  offset = 0;
  received = 0;
}

/**
 * The events that a crowd of followers must receive. The bytes of an event are parsed for the first
 * receiver; all others must receive the same bytes, which costs almost nothing to check.
 */
export class Chorus {
  latencies = new Latencies();
  followers = /** @type {Follower[]} */ ([]);
  #split;
  #markerOf;
  #bytes = Buffer.allocUnsafe(1024 * 1024);
  #length = 0;
  #ends = /** @type {number[]} */ ([]);
  #sentMs = /** @type {number[]} */ ([]);
  #left = /** @type {number[]} */ ([]);
  /** Events that all followers have received. */
  #done = 0;
  #onDone = () => {};
  /** @type {Error | undefined} */
  #failure;

  /**
   * @param {Splitter} split
   *
   * @param {(event: number) => string} markerOf What an event has to contain.
   */
  constructor(split, markerOf) {
    this.#split = split;
    this.#markerOf = markerOf;
  }

  /** Records an event that is sent now, or was due at a time. @param {number} ms */
  sent(ms) {
    this.#sentMs.push(ms);
    this.#left.push(this.followers.length);
  }

  /** Number of events sent. */
  get count() {
    return this.#sentMs.length;
  }

  /** Events that not all followers have received yet. */
  get pending() {
    return this.#sentMs.length - this.#done;
  }

  /** @param {Error} error */
  fail(error) {
    this.#failure ??= error;
    this.#onDone();
  }

  /** Resolves when fewer than `most` events are pending. @param {number} most */
  async fewerThan(most) {
    while (this.pending >= most && this.#failure === undefined) {
      /** @type {NodeJS.Timeout | undefined} */
      let timer;
      await new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
        this.#onDone = resolve;
        const problem = new Error(`${this.pending} events do not reach all followers`);
        timer = setTimeout(() => reject(problem), PATIENCE_MS);
      }).finally(() => clearTimeout(timer));
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Starts over, once all followers have received all events. */
  restart() {
    this.latencies = new Latencies();
    this.#length = 0;
    this.#done = 0;
    for (const list of [this.#ends, this.#sentMs, this.#left]) list.length = 0;
    for (const follower of this.followers) {
      follower.offset = 0;
      follower.received = 0;
    }
  }

  /** @param {Follower} follower @param {Buffer} chunk */
  take(follower, chunk) {
    try {
      this.#take(follower, chunk);
    } catch (error) {
      this.fail(/** @type {Error} */ (error));
    }
  }

  /** @param {Follower} follower @param {Buffer} chunk */
  #take(follower, chunk) {
    const start = follower.offset;
    const known = Math.min(chunk.byteLength, this.#length - start);
    if (this.#bytes.compare(chunk, 0, known, start, start + known) !== 0)
      throw new Error("a follower received other bytes than the others");
    if (known < chunk.byteLength) this.#extend(chunk.subarray(known));
    follower.offset += chunk.byteLength;
    const nowMs = performance.now();
    for (
      let end = this.#ends[follower.received];
      end !== undefined;
      end = this.#ends[follower.received]
    ) {
      if (end > follower.offset) break;
      const event = follower.received++;
      this.latencies.add(nowMs - (this.#sentMs[event] ?? Number.NaN));
      const left = (this.#left[event] ?? 0) - 1;
      this.#left[event] = left;
      if (left > 0) continue;
      this.#done++;
      this.#onDone();
    }
  }

  /** Takes bytes that no follower has received before. @param {Buffer} more */
  #extend(more) {
    const length = this.#length + more.byteLength;
    if (length > this.#bytes.byteLength) {
      const larger = Buffer.allocUnsafe(length * 2);
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    more.copy(this.#bytes, this.#length);
    this.#length = length;
    let at = this.#ends.at(-1) ?? 0;
    for (;;) {
      const end = this.#split(this.#bytes, at, length);
      if (end < 0) return;
      const marker = this.#markerOf(this.#ends.length);
      if (this.#ends.length >= this.count || !this.#bytes.subarray(at, end).includes(marker))
        throw new Error(`a follower received something other than event ${marker}`);
      this.#ends.push(end);
      at = end;
    }
  }
}
