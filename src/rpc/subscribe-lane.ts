import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { type IncomingHttpHeaders, type ServerHttp2Stream, constants } from "node:http2";
import { StreamService, type SubscribeRequest } from "../../gen/millrace/v1/stream_service_pb.ts";
import type { Frame } from "../core/frame.ts";
import type { Handlers } from "../service/handlers.ts";
import { compileBinaryDecoder } from "../wire/decode-binary.ts";
import type { Decoded } from "../wire/decoded.ts";
import { encodeFrame } from "../wire/frame-bytes.ts";
import { createRecent } from "../wire/recent.ts";
import { toConnectError } from "./connect-error.ts";
import { encodeGrpcMessage } from "./grpc-message.ts";
import type { Transport } from "./prepared-call.ts";
import { readGrpcMessage } from "./request-reader.ts";
import { FAREWELL_MS } from "./routes.ts";

const { method } = StreamService;
const PATH = `/${StreamService.typeName}/${method.subscribe.name}`;
const PREFIX_BYTES = 5;
/** How much is joined into one write, in bytes. */
const JOIN_BYTES = 64 * 1024;

/** Takes an HTTP/2 stream if it is for the lane. @returns false when somebody else has to answer it. */
export type Lane = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  transport: Transport,
) => boolean;

/**
 * The short way of Subscribe over gRPC: from the subscription's frames to the HTTP/2 stream, without a
 * framework between them.
 *
 * Each frame is encoded once however many subscribers hear it, and what a subscriber has to hear at one
 * time goes out in one write. It takes plain gRPC requests only; whatever asks for more (compression, a
 * deadline, JSON, another protocol) goes the long way, with the same answers.
 */
export function createSubscribeLane(handlers: Handlers): Lane {
  const decode = compileBinaryDecoder(method.subscribe.input);
  return (stream, headers, transport) => {
    if (headers[":path"] !== PATH || !isPlainGrpc(headers)) return false;
    answer(handlers, decode, stream, transport).catch(() => stream.destroy());
    return true;
  };
}

function isPlainGrpc(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  const encoding = headers["grpc-encoding"];
  return (
    headers[":method"] === "POST" &&
    (type === "application/grpc" || type === "application/grpc+proto") &&
    (encoding === undefined || encoding === "identity") &&
    headers["grpc-timeout"] === undefined
  );
}

async function answer(
  handlers: Handlers,
  decode: (bytes: Uint8Array) => Decoded<SubscribeRequest>,
  stream: ServerHttp2Stream,
  { permit, abort, auth }: Transport,
): Promise<void> {
  const trailers = new Headers({ "grpc-status": "0" });
  stream.on("error", () => {});
  stream.on("wantTrailers", () => stream.sendTrailers(Object.fromEntries(trailers)));
  let failure: unknown;
  try {
    permit(method.subscribe);
    const request = decode(await readGrpcMessage(stream));
    const subscription = await handlers.subscribe({ ...request, auth: auth() });
    stream.on("close", () => subscription.close());
    if (stream.destroyed) subscription.close();
    // A transport that takes nothing cannot be told anything: it is cut.
    let farewell: NodeJS.Timeout | undefined;
    subscription.onEnd(() => {
      if (subscription.error !== undefined) farewell = setTimeout(abort, FAREWELL_MS);
    });
    respond(stream);
    await send(stream, subscription);
    clearTimeout(farewell);
    failure = subscription.error;
  } catch (error) {
    failure = error;
  }
  if (stream.destroyed) return;
  if (failure !== undefined) {
    const error = toConnectError(failure);
    setTrailerStatus(trailers, error);
    trailers.set("grpc-message", encodeGrpcMessage(error.rawMessage));
  }
  respond(stream);
  stream.end();
  // What was not read of the request is read away, for a while.
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), FAREWELL_MS);
  stream.once("close", () => clearTimeout(timer));
}

function respond(stream: ServerHttp2Stream): void {
  if (stream.headersSent) return;
  stream.respond(
    {
      [constants.HTTP2_HEADER_STATUS]: 200,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc+proto",
    },
    { waitForTrailers: true },
  );
}

type Subscription = Awaited<ReturnType<Handlers["subscribe"]>>;

/** Sends frames until the subscription has ended. */
async function send(stream: ServerHttp2Stream, subscription: Subscription): Promise<void> {
  while (!stream.destroyed) {
    const chunk = nextChunk(subscription);
    if (chunk !== undefined) {
      if (!stream.write(chunk)) await drained(stream);
    } else if (subscription.ended) return;
    else await new Promise<void>((resolve) => subscription.onReadable(resolve));
  }
}

/** What there is to send now, joined; undefined when there is nothing. */
function nextChunk(subscription: Subscription): Buffer | undefined {
  const first = subscription.read();
  if (first === undefined) return undefined;
  const chunks = [envelopeOf(first)];
  let bytes = chunks[0]?.byteLength ?? 0;
  while (bytes < JOIN_BYTES) {
    const frame = subscription.read();
    if (frame === undefined) break;
    const envelope = envelopeOf(frame);
    chunks.push(envelope);
    bytes += envelope.byteLength;
  }
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, bytes);
}

/** A frame with its gRPC prefix. Made once for all who hear it now; not to be changed. */
const envelopeOf = createRecent((frame: Frame): Buffer => {
  const message = encodeFrame(frame);
  const envelope = Buffer.allocUnsafeSlow(PREFIX_BYTES + message.byteLength);
  envelope[0] = 0;
  envelope.writeUInt32BE(message.byteLength, 1);
  envelope.set(message, PREFIX_BYTES);
  return envelope;
});

function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}
