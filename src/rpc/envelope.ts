import type { ByteBudget } from "../limits/body-budget.ts";
import { type Awaiting, BODY_DEADLINES, BODY_TIMEOUT_MS } from "../limits/body-deadlines.ts";
import { BodyBuffer } from "./body-buffer.ts";
import { StreamError } from "../core/errors.ts";

/** Largest request message with values or payloads, in bytes, before and after decompression. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Length of the prefix of a message of gRPC, gRPC-Web or a Connect stream, in bytes. */
export const PREFIX_BYTES = 5;

/** One length-prefixed message of gRPC, gRPC-Web or a Connect stream. */
export interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array;
}

/** A request that the protocol's framing makes invalid. */
export function bodyInvalid(sentence: string, field?: string): StreamError {
  return new StreamError(
    "REQUEST_INVALID",
    sentence,
    field === undefined ? {} : { metadata: { field } },
  );
}

/** The refusal of an oversized request. */
export function bodyTooLarge(maxBytes: number): StreamError {
  return bodyInvalid(`The request has more than ${maxBytes} bytes; it may have up to that.`);
}

/** The refusal of a request that does not come whole. */
export function bodyLate(): StreamError {
  return bodyInvalid(`The request did not arrive whole within ${BODY_TIMEOUT_MS} ms.`);
}

/** The refusal of a message that ends too early. */
export function bodyCutShort(): StreamError {
  return bodyInvalid("The request is cut short in the middle of a message.");
}

/**
 * Reads a whole body into a buffer.
 *
 * @param isEnveloped Whether it is one length-prefixed message rather than the message itself.
 * @throws StreamError REQUEST_INVALID as soon as it is too large, OVERLOADED.
 */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  buffer: BodyBuffer,
  maxBytes: number,
  isEnveloped: boolean,
): Promise<Buffer> {
  const mostBytes = isEnveloped ? maxBytes + PREFIX_BYTES : maxBytes;
  for await (const chunk of body) {
    if (buffer.length + chunk.byteLength > mostBytes) throw bodyTooLarge(maxBytes);
    buffer.push(chunk);
    if (isEnveloped && claimsMoreThan(buffer.bytes, maxBytes)) throw bodyTooLarge(maxBytes);
  }
  return buffer.bytes;
}

/** Whether a message that has begun says that it is larger than that. */
export function claimsMoreThan(body: Buffer, maxBytes: number): boolean {
  return body.length >= PREFIX_BYTES && body.readUInt32BE(1) > maxBytes;
}

/** The one message of an enveloped body. @throws StreamError REQUEST_INVALID unless there is exactly one, whole. */
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

/** Rejects when the promise takes longer than that, or as soon as the signal is aborted, with its reason. */
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
      if (this.#rest.length === PREFIX_BYTES && this.#needed === PREFIX_BYTES) {
        this.#needed += sizeAt(this.#rest.bytes, 0, this.#options.maxBytes);
        this.#rest.expect(this.#needed);
      }
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
