import { base64Decode } from "@bufbuild/protobuf/wire";
import type { DescMessage, DescMethod, MessageShape } from "@bufbuild/protobuf";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";
import { compileBinaryDecoder } from "../wire/decode-binary.ts";
import { compileJsonDecoder } from "../wire/decode-json.ts";
import type { Decoded } from "../wire/decoded.ts";
import { StreamError } from "../core/errors.ts";
import {
  BODY_TIMEOUT_MS,
  type Envelope,
  MAX_REQUEST_BYTES,
  bodyInvalid,
  bodyTooLarge,
  readEnvelopes,
  readSingle,
  readWhole,
  within,
} from "./request-body.ts";
import type { RequestFormat } from "./request-format.ts";

const COMPRESSED_FLAG = 1;
const COMPRESSIONS = new Map(
  [compressionGzip, compressionBrotli].map((compression) => [compression.name, compression]),
);

/** Whether messages of this format can be read here. */
export function isReadable(format: RequestFormat): boolean {
  return format.compression === undefined || COMPRESSIONS.has(format.compression);
}

/**
 * Reads request messages off the wire.
 *
 * The service decodes requests itself rather than letting the RPC framework do it: what the contract
 * refuses (invalid Unicode, forbidden keys, unknown JSON fields, fractional integers) is seen only in
 * the bytes, and each refusal names its field.
 */
export interface RequestReader<M> {
  /** The message of a call that takes one. */
  one(request: UniversalServerRequest, url: URL, format: RequestFormat): Promise<Decoded<M>>;
  /** The bytes of each message of a call that takes many, in order. */
  many(request: UniversalServerRequest, format: RequestFormat): AsyncIterable<Uint8Array>;
  /** Decodes one message. */
  decode(bytes: Uint8Array, json: boolean): Decoded<M>;
}

/** Compiles a reader for the requests of a method. */
export function createRequestReader<I extends DescMessage>(
  method: DescMethod & { input: I },
): RequestReader<MessageShape<I>> {
  const fromBinary = compileBinaryDecoder(method.input);
  const fromJson = compileJsonDecoder(method.input);
  const decode = (bytes: Uint8Array, json: boolean) => (json ? fromJson(bytes) : fromBinary(bytes));
  return {
    async one(request, url, format) {
      const reading = readMessage(request, url, format);
      return decode(await within(reading, BODY_TIMEOUT_MS, request.signal), format.json);
    },
    async *many(request, format) {
      for await (const envelope of readEnvelopes(byteBody(request)))
        yield await messageOf(envelope, format);
    },
    decode,
  };
}

async function readMessage(
  request: UniversalServerRequest,
  url: URL,
  format: RequestFormat,
): Promise<Uint8Array> {
  switch (format.framing) {
    case "query":
      return decompress(queryMessage(url), format.compression);
    case "body":
      return decompress(await readWhole(byteBody(request)), format.compression);
    case "envelopes":
      return messageOf(await readSingle(readEnvelopes(byteBody(request))), format);
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

/** Reads the one message of a plain gRPC request. @throws StreamError REQUEST_INVALID */
export async function readGrpcMessage(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const single = readSingle(readEnvelopes(unbroken(body)));
  return messageOf(await within(single, BODY_TIMEOUT_MS), PLAIN_GRPC);
}

const PLAIN_GRPC: RequestFormat = {
  framing: "envelopes",
  protocol: "grpc",
  json: false,
  compression: undefined,
};

async function messageOf({ flags, data }: Envelope, format: RequestFormat): Promise<Uint8Array> {
  const compressed = (flags & COMPRESSED_FLAG) !== 0;
  if (flags !== (compressed ? COMPRESSED_FLAG : 0))
    throw bodyInvalid(`The request has a message with flags ${flags}; they may be 0 or 1.`);
  if (compressed && format.compression === undefined) {
    throw bodyInvalid("The request has a compressed message but names no compression.");
  }
  return compressed ? decompress(data, format.compression) : data;
}

async function decompress(bytes: Uint8Array, name: string | undefined): Promise<Uint8Array> {
  const compression = name === undefined ? undefined : COMPRESSIONS.get(name);
  if (compression === undefined) return bytes;
  try {
    return await compression.decompress(bytes, MAX_REQUEST_BYTES);
  } catch (error) {
    // The library says what is too large with a code of its own; what is malformed, with another.
    const tooLarge = error instanceof ConnectError && /larger than|exceeds/.test(error.rawMessage);
    throw tooLarge ? bodyTooLarge() : bodyInvalid(`The request is not valid ${name} data.`);
  }
}

function byteBody(request: UniversalServerRequest): AsyncIterable<Uint8Array> {
  const { body } = request;
  if (typeof body === "object" && body !== null && Symbol.asyncIterator in body)
    return unbroken(body);
  throw new StreamError("INTERNAL", "The request body was read before.");
}

/**
 * The same chunks, but leaving the loop early does not destroy the request: over HTTP/1.1 that would
 * destroy the connection, and the refusal with it. The rest is read away, because a client may send
 * all of its request before it looks for an answer.
 */
function unbroken(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const chunks = body[Symbol.asyncIterator]();
      return {
        next: () => chunks.next(),
        async return() {
          void readAway(chunks);
          return { done: true, value: undefined };
        },
      };
    },
  };
}

async function readAway(chunks: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    while ((await chunks.next()).done !== true);
  } catch {
    // The client is gone, and nobody waits for what it would have sent.
  }
}
