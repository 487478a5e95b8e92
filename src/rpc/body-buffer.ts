import type { ByteBudget } from "../limits/body-budget.ts";

/** Smallest buffer of a body of several chunks, in bytes. */
const MIN_CAPACITY_BYTES = 256;
const NOTHING = Buffer.alloc(0);

/**
 * Joins the chunks of a body as they arrive, and takes their bytes from the budget.
 *
 * A body of one chunk, as nearly all are, is not copied. The chunks of others are copied into a
 * growing buffer, so that a body of many tiny chunks costs no more than one of a few.
 */
export class BodyBuffer {
  readonly #budget: ByteBudget;
  readonly #maxBytes: number;
  /** Largest buffer: the size of the body, once it is known. */
  #maxCapacity: number;
  #bytes: Buffer = NOTHING;
  #length = 0;
  /** Bytes taken from the budget. */
  #taken = 0;
  #isClosed = false;

  /** @param maxBytes Largest expected body: the buffer exceeds it only if more is pushed. */
  constructor(budget: ByteBudget, maxBytes = Infinity) {
    this.#maxBytes = maxBytes;
    this.#maxCapacity = maxBytes;
    this.#budget = budget;
  }

  get length(): number {
    return this.#length;
  }

  /** The bytes so far. Valid until the next `push` or `release`. */
  get bytes(): Buffer {
    return this.#length === this.#bytes.length
      ? this.#bytes
      : this.#bytes.subarray(0, this.#length);
  }

  /** Announces the size of the body, which limits the buffer until `release`. */
  expect(bytes: number): void {
    this.#maxCapacity = Math.min(bytes, this.#maxBytes);
  }

  /**
   * Adds a chunk.
   *
   * @throws StreamError OVERLOADED when the budget is used up; Error after `close`.
   */
  push(chunk: Uint8Array): void {
    if (this.#isClosed) throw new Error("The body is closed.");
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

  /** Drops the bytes and gives them back to the budget. Idempotent. */
  release(): void {
    this.#budget.give(this.#taken);
    this.#taken = 0;
    this.#length = 0;
    this.#bytes = NOTHING;
    this.#maxCapacity = this.#maxBytes;
  }

  /** Releases the bytes and accepts no more. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.release();
  }

  #grow(length: number): void {
    const wanted = Math.max(MIN_CAPACITY_BYTES, 2 ** Math.ceil(Math.log2(length)));
    const capacity = Math.max(length, Math.min(wanted, this.#maxCapacity));
    this.#take(capacity - this.#taken);
    const bytes = Buffer.allocUnsafeSlow(capacity);
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
