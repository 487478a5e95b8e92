import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { type IncomingHttpHeaders, type ServerHttp2Stream, constants } from "node:http2";
import { toConnectError } from "../connect-error.ts";
import { encodeGrpcMessage } from "../grpc-message.ts";
import type { Transport } from "../framework/prepared-call.ts";
import { UNBUFFERED } from "../response-headers.ts";
import { FAREWELL_MS } from "../framework/routes.ts";
import { grpcTimeoutMs } from "../deadline.ts";

/** Answers a stream that is taken. */
export type LaneMethod = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  transport: Transport,
) => void;

/** The time that the caller gives a call, in milliseconds; undefined: any. */
export function timeoutOf(headers: IncomingHttpHeaders): number | undefined {
  const timeout = headers["grpc-timeout"];
  return timeout === undefined ? undefined : grpcTimeoutMs(String(timeout));
}

const RESPONSE_HEADERS = {
  [constants.HTTP2_HEADER_STATUS]: 200,
  [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc+proto",
};
const STREAMING_HEADERS = { ...RESPONSE_HEADERS, ...UNBUFFERED };
const WITH_TRAILERS = { waitForTrailers: true };

/** Whether nobody takes an answer any more. A stream that was reset is closed before it is destroyed. */
export function isGone(stream: ServerHttp2Stream): boolean {
  return stream.closed || stream.destroyed;
}

/** Sends the headers of the answer, once. */
export function respond(stream: ServerHttp2Stream): void {
  if (!stream.headersSent) stream.respond({ ...RESPONSE_HEADERS }, WITH_TRAILERS);
}

/** Sends the headers of a streaming response, once. */
export function respondStreaming(stream: ServerHttp2Stream): void {
  if (!stream.headersSent) stream.respond({ ...STREAMING_HEADERS }, WITH_TRAILERS);
}

/** The trailers of a call that ended with this failure; undefined: well. */
export function trailersOf(failure: unknown): Record<string, string> {
  if (failure === undefined) return { "grpc-status": "0" };
  const trailers = new Headers();
  const error = toConnectError(failure);
  setTrailerStatus(trailers, error);
  trailers.set("grpc-message", encodeGrpcMessage(error.rawMessage));
  return Object.fromEntries(trailers);
}

/** Reads away what was not read of a request that is answered, for a while. */
export function letGo(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || isGone(stream)) return;
  stream.resume();
  // Who is told that the call is over and sends on, or forgets to end, would hold the stream for good.
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), FAREWELL_MS);
  stream.once("close", () => clearTimeout(timer));
}
