import type { ByteBudget } from "../limits/body-budget.ts";

/** Least room that a body of several chunks gets, in bytes. */
const MIN_ROOM_BYTES = 256;
const NOTHING = Buffer.alloc(0);

/**
 * The bytes of a body as they come, joined, and taken from the budget.
 *
 * A body that comes in one chunk, as nearly all do, is kept as it came. Of others the chunks are copied into
 * a buffer that grows, so that a body of many tiny chunks costs no more than one of few.
 */
export class BodyBuffer {
  readonly #budget: ByteBudget;
  readonly #maxBytes: number;
  /** Most room that it takes: the size of the body, once that is known. */
  #maxRoom: number;
  #bytes: Buffer = NOTHING;
  #length = 0;
  /** What it has taken from the budget. */
  #taken = 0;
  #isClosed = false;

  /** @param maxBytes Most bytes that will be pushed: it gets no more room than that, unless more are pushed. */
  constructor(budget: ByteBudget, maxBytes = Infinity) {
    this.#maxBytes = maxBytes;
    this.#maxRoom = maxBytes;
    this.#budget = budget;
  }

  get length(): number {
    return this.#length;
  }

  /** What has come so far. Valid until more comes. */
  get bytes(): Buffer {
    return this.#length === this.#bytes.length
      ? this.#bytes
      : this.#bytes.subarray(0, this.#length);
  }

  /** Tells the size that the body claims to have: it takes no more room than that. Valid until `release`. */
  expect(bytes: number): void {
    this.#maxRoom = Math.min(bytes, this.#maxBytes);
  }

  /** Adds a chunk. @throws StreamError OVERLOADED when the budget is used up; Error after `close`. */
  push(chunk: Uint8Array): void {
    if (this.#isClosed) throw new Error("Nobody reads this body any more.");
    const length = this.#length + chunk.byteLength;
    if (this.#length === 0) {
      this.release();
      this.#take(length);
      this.#bytes = asBuffer(chunk);
    } else {
      if (length > this.#bytes.length || this.#length === this.#bytes.length) this.#grow(length);
      this.#bytes.set(chunk, this.#length);
    }
    this.#length = length;
  }

  /** Forgets the bytes and gives them back to the budget. Idempotent. */
  release(): void {
    this.#budget.give(this.#taken);
    this.#taken = 0;
    this.#length = 0;
    this.#bytes = NOTHING;
    this.#maxRoom = this.#maxBytes;
  }

  /** Releases, and takes no more. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.release();
  }

  #grow(length: number): void {
    const wanted = Math.max(MIN_ROOM_BYTES, 2 ** Math.ceil(Math.log2(length)));
    const room = Math.max(length, Math.min(wanted, this.#maxRoom));
    this.#take(room - this.#taken);
    const bytes = Buffer.allocUnsafeSlow(room);
    bytes.set(this.bytes);
    this.#bytes = bytes;
  }

  #take(bytes: number): void {
    this.#budget.take(bytes, this.#taken + bytes);
    this.#taken += bytes;
  }
}

function asBuffer(chunk: Uint8Array): Buffer {
  return Buffer.isBuffer(chunk)
    ? chunk
    : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
