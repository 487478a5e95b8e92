import type { ByteBudget } from "../core/body-budget.ts";
import { type Awaiting, BODY_DEADLINES } from "../limits/body-deadlines.ts";
import { BodyBuffer } from "./body-buffer.ts";
import {
  type Envelope,
  PREFIX_BYTES,
  bodyInvalid,
  bodyLate,
  bodyTooLarge,
} from "./request-body.ts";

/** How messages are cut. */
export interface SplitterOptions {
  /** Largest message, in bytes. */
  readonly maxBytes: number;
  readonly budget: ByteBudget;
  /** Called once when a message that has begun does not arrive whole in time, with the refusal. */
  readonly onLate: (refusal: Error) => void;
}

/**
 * Cuts a stream of bytes into length-prefixed messages, as they come. What is kept of a message that is not
 * whole yet is taken from the budget, and has its time to become whole.
 */
export class EnvelopeSplitter implements Awaiting {
  readonly #options: SplitterOptions;
  /** A message that is not whole yet, with its prefix. */
  readonly #rest: BodyBuffer;
  /** How many bytes of it make it whole, as far as is known. */
  #needed = PREFIX_BYTES;

  constructor(options: SplitterOptions) {
    this.#options = options;
    this.#rest = new BodyBuffer(options.budget, options.maxBytes + PREFIX_BYTES);
  }

  /** Whether nothing is left over. */
  get isAtEnd(): boolean {
    return this.#rest.length === 0;
  }

  /**
   * Takes more bytes.
   *
   * @param onMessage Called with each message that is whole now.
   * @throws StreamError REQUEST_INVALID for what is too large, OVERLOADED.
   */
  push(chunk: Uint8Array, onMessage: (message: Envelope) => void): void {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.isAtEnd) {
        const end = wholeEnd(chunk, at, this.#options.maxBytes);
        if (end !== undefined) {
          onMessage(envelopeAt(chunk, at, end));
          at = end;
          continue;
        }
        BODY_DEADLINES.begin(this);
      }
      const to = Math.min(chunk.byteLength, at + this.#needed - this.#rest.length);
      this.#rest.push(chunk.subarray(at, to));
      at = to;
      if (this.#rest.length === PREFIX_BYTES && this.#needed === PREFIX_BYTES)
        this.#needed += sizeAt(this.#rest.bytes, 0, this.#options.maxBytes);
      if (this.#rest.length < this.#needed) continue;
      const { bytes } = this.#rest;
      // Given back first, and forgotten: the next message may come while this one is decoded.
      this.release();
      onMessage(envelopeAt(bytes, 0, bytes.byteLength));
    }
  }

  /** Forgets what is left over. To be called when no more comes. Idempotent. */
  release(): void {
    if (!this.isAtEnd) BODY_DEADLINES.end(this);
    this.#rest.release();
    this.#needed = PREFIX_BYTES;
  }

  /** @see Awaiting */
  late(): void {
    this.#options.onLate(bodyLate());
  }
}

/** Where the message that begins at a position ends; undefined when it is not whole. */
function wholeEnd(bytes: Uint8Array, at: number, maxBytes: number): number | undefined {
  if (bytes.byteLength - at < PREFIX_BYTES) return undefined;
  const end = at + PREFIX_BYTES + sizeAt(bytes, at, maxBytes);
  return end <= bytes.byteLength ? end : undefined;
}

/** The size of the message whose prefix is at a position. @throws StreamError REQUEST_INVALID */
function sizeAt(bytes: Uint8Array, at: number, maxBytes: number): number {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 1);
  if (size > maxBytes) throw bodyTooLarge(maxBytes);
  return size;
}

function envelopeAt(bytes: Uint8Array, at: number, end: number): Envelope {
  return { flags: bytes[at] ?? 0, data: bytes.subarray(at + PREFIX_BYTES, end) };
}

/** @throws StreamError REQUEST_INVALID unless the message is plain. */
export function checkFlags(flags: number): void {
  if (flags === 0) return;
  throw flags === 1
    ? bodyInvalid("The request has a compressed message but names no compression.")
    : bodyInvalid(`The request has a message with flags ${flags}; they may be 0 or 1.`);
}
