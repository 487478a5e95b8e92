import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { type IncomingHttpHeaders, type ServerHttp2Stream, constants } from "node:http2";
import { toConnectError } from "../connect-error.ts";
import { encodeGrpcMessage } from "../grpc-message.ts";
import type { CallTransport } from "../call-transport.ts";
import { UNBUFFERED } from "../response-headers.ts";
import { grpcTimeoutMs } from "../deadline.ts";

/** Handles a stream that the fast path has taken. */
export type GrpcMethod = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  transport: CallTransport,
) => void;

/** The timeout that the caller sets, in milliseconds; undefined when there is none. */
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

/** Whether the client can receive nothing more. A reset stream is closed before it is destroyed. */
export function isGone(stream: ServerHttp2Stream): boolean {
  return stream.closed || stream.destroyed;
}

/** Sends the response headers, once. */
export function respond(stream: ServerHttp2Stream): void {
  if (!stream.headersSent) stream.respond({ ...RESPONSE_HEADERS }, WITH_TRAILERS);
}

/** Sends the headers of a streaming response, once. */
export function respondStreaming(stream: ServerHttp2Stream): void {
  if (!stream.headersSent) stream.respond({ ...STREAMING_HEADERS }, WITH_TRAILERS);
}

/** The trailers of a call. `failure` is undefined if the call succeeded. */
export function trailersOf(failure: unknown): Record<string, string> {
  if (failure === undefined) return { "grpc-status": "0" };
  const trailers = new Headers();
  const error = toConnectError(failure);
  setTrailerStatus(trailers, error);
  trailers.set("grpc-message", encodeGrpcMessage(error.rawMessage));
  return Object.fromEntries(trailers);
}
