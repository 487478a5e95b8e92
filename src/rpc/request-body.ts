import { StreamError } from "../core/errors.ts";

/** Largest request message, in bytes, before and after decompression. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Longest wait for the body of a request with one message, in milliseconds. */
export const BODY_TIMEOUT_MS = 30_000;

/** One length-prefixed message of gRPC, gRPC-Web or a Connect stream. */
export interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array;
}

const PREFIX_BYTES = 5;

/** A request that the protocol's framing makes invalid. */
export function bodyInvalid(sentence: string, field?: string): StreamError {
  return new StreamError(
    "REQUEST_INVALID",
    sentence,
    field === undefined ? {} : { metadata: { field } },
  );
}

/** The refusal of an oversized request. */
export function bodyTooLarge(): StreamError {
  return bodyInvalid(
    `The request has more than ${MAX_REQUEST_BYTES} bytes; it may have up to that.`,
  );
}

/** Reads a whole body. @throws StreamError REQUEST_INVALID over the limit. */
export async function readWhole(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > MAX_REQUEST_BYTES) throw bodyTooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks, length);
}

/** Splits a body into envelopes. @throws StreamError REQUEST_INVALID when one is cut short or over the limit. */
export async function* readEnvelopes(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Envelope, void> {
  let buffered: Uint8Array[] = [];
  let length = 0;
  let needed = PREFIX_BYTES;
  for await (const chunk of body) {
    buffered.push(chunk);
    length += chunk.byteLength;
    if (length < needed) continue;
    let bytes = buffered.length === 1 ? chunk : Buffer.concat(buffered, length);
    for (;;) {
      needed = PREFIX_BYTES;
      if (bytes.byteLength < needed) break;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const size = view.getUint32(1);
      if (size > MAX_REQUEST_BYTES) throw bodyTooLarge();
      needed += size;
      if (bytes.byteLength < needed) break;
      yield { flags: view.getUint8(0), data: bytes.subarray(PREFIX_BYTES, needed) };
      bytes = bytes.subarray(needed);
    }
    buffered = bytes.byteLength === 0 ? [] : [bytes];
    length = bytes.byteLength;
  }
  if (length > 0) throw bodyInvalid("The request is cut short in the middle of a message.");
}

/** The one message of a call that takes one. @throws StreamError REQUEST_INVALID unless there is exactly one. */
export async function readSingle(envelopes: AsyncIterable<Envelope>): Promise<Envelope> {
  let single: Envelope | undefined;
  for await (const envelope of envelopes) {
    if (single !== undefined)
      throw bodyInvalid("The request has more than one message; this call takes one.");
    single = envelope;
  }
  if (single === undefined) throw bodyInvalid("The request has no message; this call takes one.");
  return single;
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
    timer = setTimeout(
      () => reject(bodyInvalid(`The request did not arrive whole within ${timeoutMs} ms.`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    signal?.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }
}
