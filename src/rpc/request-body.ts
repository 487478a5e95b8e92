import { StreamError } from "../core/errors.ts";
import { BODY_TIMEOUT_MS } from "../limits/body-deadlines.ts";
import type { BodyBuffer } from "./body-buffer.ts";

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
