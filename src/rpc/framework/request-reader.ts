import { base64Decode } from "@bufbuild/protobuf/wire";
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import type { BodyBudget, ByteBudget } from "../../limits/body-budget.ts";
import { StreamError } from "../../core/errors.ts";
import { BODY_TIMEOUT_MS } from "../../limits/body-deadlines.ts";
import type { OpenAccount } from "../../limits/untrusted-bodies.ts";
import { compileBinaryDecoder } from "../../wire/request/binary-decoder.ts";
import { compileJsonDecoder } from "../../wire/request/json-decoder.ts";
import type { Decoded } from "../../wire/request/decoded.ts";
import { BodyBuffer } from "../body-buffer.ts";
import {
  EnvelopeSplitter,
  checkFlags,
  type Envelope,
  PREFIX_BYTES,
  bodyCutShort,
  bodyInvalid,
  readBody,
  singleEnvelope,
  within,
} from "../envelope.ts";
import { inflate, isInflatable } from "../inflate.ts";
import type { RequestFormat } from "./request-format.ts";
import { maxRequestBytes } from "../request-limits.ts";
import { LARGE_BODY_BYTES, largeBodyTurn } from "../../timers/turns.ts";

const COMPRESSED_FLAG = 1;

/** Whether the service can read messages of this format. */
export function isReadable(format: RequestFormat): boolean {
  return format.compression === undefined || isInflatable(format.compression);
}

/**
 * Reads request messages off the wire.
 *
 * The service decodes requests itself rather than letting the RPC framework do it: what the
 * contract refuses (invalid Unicode, forbidden keys, unknown JSON fields, fractional integers) is
 * visible only in the bytes, each refusal names its field, and the request bytes in memory are
 * limited.
 *
 * They are taken from an account if one is opened, otherwise from the budget.
 */
export interface RequestReader<M> {
  /** Reads the message of a call with one request. */
  one(
    request: UniversalServerRequest,
    url: URL,
    format: RequestFormat,
    openAccount?: OpenAccount,
  ): Promise<Decoded<M>>;
  /**
   * Reads the encoded messages of a call with a stream of requests, in order. Each has to be decoded
   * before anything is awaited: its bytes no longer count.
   */
  many(
    request: UniversalServerRequest,
    format: RequestFormat,
    openAccount?: OpenAccount,
  ): AsyncIterable<Uint8Array>;
  /** Decodes one message. */
  decode(bytes: Uint8Array, json: boolean): Decoded<M>;
}

/**
 * Compiles a reader for the requests of a method.
 *
 * @param budget Limits the request bytes in memory.
 */
export function createRequestReader<I extends DescMessage>(
  method: DescMethod & { input: I },
  budget: BodyBudget,
): RequestReader<MessageShape<I>> {
  const fromBinary = compileBinaryDecoder(method.input);
  const fromJson = compileJsonDecoder(method.input);
  const maxBytes = maxRequestBytes(method);
  const decode = (bytes: Uint8Array, json: boolean) => (json ? fromJson(bytes) : fromBinary(bytes));

  const readOne = async (
    request: UniversalServerRequest,
    url: URL,
    { framing, json, compression }: RequestFormat,
    buffer: BodyBuffer,
  ) => {
    let isCompressed = compression !== undefined;
    let bytes: Uint8Array;
    if (framing === "query") buffer.push((bytes = queryMessage(url)));
    else {
      const isEnveloped = framing === "envelopes";
      const body = await readBody(byteBody(request), buffer, maxBytes, isEnveloped);
      bytes = body;
      if (isEnveloped) {
        const envelope = singleEnvelope(body, maxBytes);
        isCompressed = isCompressedMessage(envelope, compression);
        bytes = envelope.data;
      }
    }
    if (!isCompressed || compression === undefined) {
      if (bytes.byteLength >= LARGE_BODY_BYTES) await largeBodyTurn();
      return decode(bytes, json);
    }
    const inflated = await inflate(bytes, compression, maxBytes, budget);
    try {
      if (inflated.bytes.byteLength >= LARGE_BODY_BYTES) await largeBodyTurn();
      return decode(inflated.bytes, json);
    } finally {
      inflated.release();
    }
  };

  return {
    one: (request, url, format, openAccount) =>
      withBuffer(budget, openAccount, maxBytes, request.signal, (buffer) =>
        readOne(request, url, format, buffer),
      ),
    async *many(request, { compression }, openAccount) {
      const { signal } = request;
      const budgetOf = openAccount ?? (() => budget);
      for await (const envelope of envelopesOf(byteBody(request), maxBytes, budgetOf, signal)) {
        const { data } = envelope;
        if (!isCompressedMessage(envelope, compression) || compression === undefined) {
          if (data.byteLength < LARGE_BODY_BYTES) yield data;
          else yield* inTurn(data, budget);
          continue;
        }
        budget.take(data.byteLength);
        let inflated;
        try {
          inflated = await inflate(data, compression, maxBytes, budget);
        } finally {
          budget.give(data.byteLength);
        }
        signal.addEventListener("abort", inflated.release, { once: true });
        try {
          if (inflated.bytes.byteLength >= LARGE_BODY_BYTES) await largeBodyTurn();
          signal.throwIfAborted();
          // The consumer decodes it at once, and may then ask for the next one much later.
          inflated.release();
          yield inflated.bytes;
        } finally {
          signal.removeEventListener("abort", inflated.release);
          inflated.release();
        }
      }
    },
    decode,
  };
}

/** Yields a large message when its turn comes. It counts while it waits. */
async function* inTurn(data: Uint8Array, budget: BodyBudget): AsyncGenerator<Uint8Array, void> {
  budget.take(data.byteLength);
  try {
    await largeBodyTurn();
  } finally {
    budget.give(data.byteLength);
  }
  yield data;
}

/**
 * The messages of a body, as they arrive.
 *
 * A consumer that waits for its client to read may never ask for the next message nor return the
 * iterator. So a partial message is released as soon as the signal is aborted or the message is
 * late, wherever the iterator stands; the next use of the iterator throws the reason.
 *
 * @param budgetOf Opens the budget of the body, which may call `refuse` to refuse the rest.
 * @param signal Aborted when the transport is closed or the deadline of the call passes.
 * @throws StreamError REQUEST_INVALID, OVERLOADED
 */
async function* envelopesOf(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  budgetOf: (refuse: (error: unknown) => void) => ByteBudget,
  signal: AbortSignal,
): AsyncGenerator<Envelope, void> {
  let refusal: { readonly error: unknown } | undefined;
  let wake = () => {};
  const refuse = (error: unknown) => {
    refusal ??= { error };
    splitter.release();
    wake();
  };
  const splitter = new EnvelopeSplitter({ maxBytes, budget: budgetOf(refuse), onLate: refuse });
  const onAbort = () => refuse(signal.reason);
  const throwIfRefused = () => {
    if (refusal !== undefined) throw refusal.error;
  };
  const chunks = body[Symbol.asyncIterator]();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    for (;;) {
      throwIfRefused();
      const next = await new Promise<IteratorResult<Uint8Array> | undefined>((resolve, reject) => {
        wake = () => resolve(undefined);
        chunks.next().then(resolve, reject);
      });
      throwIfRefused();
      if (next === undefined || next.done === true) break;
      const whole: Envelope[] = [];
      splitter.push(next.value, (envelope) => whole.push(envelope));
      for (const envelope of whole) {
        yield envelope;
        throwIfRefused();
      }
    }
    if (!splitter.isAtEnd) throw bodyCutShort();
  } finally {
    signal.removeEventListener("abort", onAbort);
    splitter.release();
    void chunks.return?.();
  }
}

function queryMessage(url: URL): Uint8Array {
  const text = url.searchParams.get("message") ?? "";
  if (url.searchParams.get("base64") !== "1") return Buffer.from(text);
  try {
    return base64Decode(text);
  } catch {
    throw bodyInvalid("message is not base64; with base64=1 it may be URL-safe base64.", "message");
  }
}

/**
 * Reads and decodes the message of a plain gRPC call with one request.
 *
 * @param signal Ends the wait, which rejects with its reason.
 * @param openAccount Opens the account that limits the body instead of the budget.
 * @throws StreamError REQUEST_INVALID, OVERLOADED, and what `decode` throws
 */
export async function readGrpcMessage<M>(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  budget: BodyBudget,
  decode: (message: Uint8Array) => M,
  signal?: AbortSignal,
  openAccount?: OpenAccount,
): Promise<M> {
  return withBuffer(budget, openAccount, maxBytes, signal, async (buffer) => {
    const whole = await readBody(withoutDestroy(body), buffer, maxBytes, true);
    const { flags, data } = singleEnvelope(whole, maxBytes);
    checkFlags(flags);
    return decode(data);
  });
}

/**
 * Reads into a buffer, which is closed when the read ends, is late, is aborted or is refused by the
 * account.
 */
async function withBuffer<T>(
  budget: BodyBudget,
  openAccount: OpenAccount | undefined,
  maxBytes: number,
  signal: AbortSignal | undefined,
  read: (buffer: BodyBuffer) => Promise<T>,
): Promise<T> {
  let cut = (_refusal: Error) => {};
  const account = openAccount?.((refusal) => cut(refusal));
  const buffer = new BodyBuffer(account ?? budget, maxBytes + PREFIX_BYTES);
  try {
    const reading =
      account === undefined
        ? read(buffer)
        : new Promise<T>((resolve, reject) => {
            cut = reject;
            read(buffer).then(resolve, reject);
          });
    return await within(reading, BODY_TIMEOUT_MS, signal);
  } finally {
    buffer.close();
  }
}

/**
 * Whether a message has to be inflated.
 *
 * @throws StreamError REQUEST_INVALID when its flags make no sense.
 */
function isCompressedMessage({ flags }: Envelope, compression: string | undefined): boolean {
  if (flags === COMPRESSED_FLAG && compression !== undefined) return true;
  checkFlags(flags);
  return false;
}

function byteBody(request: UniversalServerRequest): AsyncIterable<Uint8Array> {
  const { body } = request;
  if (typeof body === "object" && body !== null && Symbol.asyncIterator in body)
    return withoutDestroy(body);
  throw new StreamError("INTERNAL", "The request body has already been read.");
}

/**
 * The same chunks, but leaving the loop early does not destroy the request: over HTTP/1.1 that
 * would destroy the connection, and the refusal with it. The rest is discarded, because a client
 * may send its whole request before it reads the response.
 */
function withoutDestroy(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const chunks = body[Symbol.asyncIterator]();
      return {
        next: () => chunks.next(),
        async return() {
          void discard(chunks);
          return { done: true, value: undefined };
        },
      };
    },
  };
}

async function discard(chunks: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    while ((await chunks.next()).done !== true);
  } catch {
    // The client is gone, so there is nothing left to discard.
  }
}
