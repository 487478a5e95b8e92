import type { ByteBudget } from "../limits/body-budget.ts";
import { type Awaiting, BODY_DEADLINES, BODY_TIMEOUT_MS } from "../limits/body-deadlines.ts";
import { BodyBuffer } from "./body-buffer.ts";
import { StreamError } from "../core/errors.ts";

/** Largest request message with values or payloads, in bytes, before and after decompression. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Length of a message's prefix in gRPC, gRPC-Web and Connect streams, in bytes. */
export const PREFIX_BYTES = 5;

/** A length-prefixed message of gRPC, gRPC-Web or a Connect stream. */
export interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array;
}

/** The refusal of an invalid request. */
export function bodyInvalid(sentence: string, field?: string): StreamError {
  return new StreamError(
    "REQUEST_INVALID",
    sentence,
    field === undefined ? {} : { metadata: { field } },
  );
}

/** The refusal of an oversized request. */
export function bodyTooLarge(maxBytes: number): StreamError {
  return bodyInvalid(`The request has more than ${maxBytes} bytes; it may have up to ${maxBytes}.`);
}

/** The refusal of a request that does not arrive completely in time. */
export function bodyLate(): StreamError {
  return bodyInvalid(`The request did not arrive completely within ${BODY_TIMEOUT_MS} ms.`);
}

/** The refusal of a message that ends too early. */
export function bodyCutShort(): StreamError {
  return bodyInvalid("The request is cut short in the middle of a message.");
}

/**
 * Reads a whole body into a buffer.
 *
 * @param isEnveloped Whether it is one length-prefixed message rather than the message itself.
 * @throws StreamError REQUEST_INVALID as soon as it is too large; OVERLOADED.
 */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  buffer: BodyBuffer,
  maxBytes: number,
  isEnveloped: boolean,
): Promise<Buffer> {
  const maxBodyBytes = isEnveloped ? maxBytes + PREFIX_BYTES : maxBytes;
  for await (const chunk of body) {
    if (buffer.length + chunk.byteLength > maxBodyBytes) throw bodyTooLarge(maxBytes);
    buffer.push(chunk);
    if (isEnveloped && claimsMoreThan(buffer.bytes, maxBytes)) throw bodyTooLarge(maxBytes);
  }
  return buffer.bytes;
}

/** Whether the prefix of a message announces more than `maxBytes`. */
export function claimsMoreThan(body: Buffer, maxBytes: number): boolean {
  return body.length >= PREFIX_BYTES && body.readUInt32BE(1) > maxBytes;
}

/**
 * The single message of an enveloped body.
 *
 * @throws StreamError REQUEST_INVALID unless the body is exactly one complete message.
 */
export function singleEnvelope(body: Buffer, maxBytes: number): Envelope {
  if (body.length === 0) throw bodyInvalid("The request has no message; this call takes one.");
  if (body.length < PREFIX_BYTES) throw bodyCutShort();
  if (claimsMoreThan(body, maxBytes)) throw bodyTooLarge(maxBytes);
  const end = PREFIX_BYTES + body.readUInt32BE(1);
  if (body.length < end) throw bodyCutShort();
  if (body.length > end)
    throw bodyInvalid("The request has more than one message; this call takes one.");
  return { flags: body[0] ?? 0, data: body.subarray(PREFIX_BYTES, end) };
}

/** Rejects after the timeout, or with the signal's reason as soon as it is aborted. */
export async function within<T>(
  promise: Promise<T>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort = () => {};
  const timeout = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal?.reason as Error);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    timer = setTimeout(() => reject(bodyLate()), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    signal?.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }
}

/** Limits and callback of a splitter. */
export interface SplitterOptions {
  /** Largest message, in bytes. */
  readonly maxBytes: number;
  readonly budget: ByteBudget;
  /** Called once, with the refusal, when a message does not arrive completely in time. */
  readonly onLate: (refusal: Error) => void;
}

/**
 * Splits a stream of bytes into length-prefixed messages, as they arrive. A partial message is
 * taken from the budget and has a deadline.
 */
export class EnvelopeSplitter implements Awaiting {
  readonly #options: SplitterOptions;
  /** A partial message, with its prefix. */
  readonly #rest: BodyBuffer;
  /** Length of the message with its prefix, or of the prefix alone until that is complete. */
  #needed = PREFIX_BYTES;

  constructor(options: SplitterOptions) {
    this.#options = options;
    this.#rest = new BodyBuffer(options.budget, options.maxBytes + PREFIX_BYTES);
  }

  /** Whether there is no partial message. */
  get isAtEnd(): boolean {
    return this.#rest.length === 0;
  }

  /**
   * Adds bytes.
   *
   * @param onMessage Called with each message that is now complete.
   * @throws StreamError REQUEST_INVALID when a message is too large; OVERLOADED.
   */
  push(chunk: Uint8Array, onMessage: (message: Envelope) => void): void {
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.isAtEnd) {
        const end = completeEnd(chunk, at, this.#options.maxBytes);
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
      if (this.#rest.length === PREFIX_BYTES && this.#needed === PREFIX_BYTES) {
        this.#needed += sizeAt(this.#rest.bytes, 0, this.#options.maxBytes);
        this.#rest.expect(this.#needed);
      }
      if (this.#rest.length < this.#needed) continue;
      const { bytes } = this.#rest;
      // Released first: the next message may arrive while this one is decoded.
      this.release();
      onMessage(envelopeAt(bytes, 0, bytes.byteLength));
    }
  }

  /** Drops a partial message. To be called when no more bytes are pushed. Idempotent. */
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

/** The end of the message that begins at a position; undefined when it is not complete. */
function completeEnd(bytes: Uint8Array, at: number, maxBytes: number): number | undefined {
  if (bytes.byteLength - at < PREFIX_BYTES) return undefined;
  const end = at + PREFIX_BYTES + sizeAt(bytes, at, maxBytes);
  return end <= bytes.byteLength ? end : undefined;
}

/** The size of the message that begins at a position. @throws StreamError REQUEST_INVALID */
function sizeAt(bytes: Uint8Array, at: number, maxBytes: number): number {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 1);
  if (size > maxBytes) throw bodyTooLarge(maxBytes);
  return size;
}

function envelopeAt(bytes: Uint8Array, at: number, end: number): Envelope {
  return { flags: bytes[at] ?? 0, data: bytes.subarray(at + PREFIX_BYTES, end) };
}

/** @throws StreamError REQUEST_INVALID unless the message is uncompressed. */
export function checkFlags(flags: number): void {
  if (flags === 0) return;
  throw flags === 1
    ? bodyInvalid("The request has a compressed message but names no compression.")
    : bodyInvalid(`The request has a message with flags ${flags}; they may be 0 or 1.`);
}
