import type { IncomingMessage } from "node:http";
import { type ServerHttp2Stream, constants } from "node:http2";
import { END_GRACE_MS } from "../limits/end-grace.ts";

/**
 * Discards the rest of an HTTP/1.1 request after its response, and closes its connection when the
 * request does not end soon.
 */
export function dismissRequest(request: IncomingMessage): void {
  // The connection accepts no other request before this one is read to its end.
  request.resume();
  if (request.complete) return;
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), END_GRACE_MS);
  const cancel = () => clearTimeout(timer);
  request.once("end", cancel);
  request.once("close", cancel);
}

/**
 * Discards the rest of an HTTP/2 request after its response, and resets the stream when the request
 * does not end soon: a client that keeps sending, or never half-closes, would hold it open forever.
 */
export function dismissStream(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.closed || stream.destroyed) return;
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), END_GRACE_MS);
  stream.once("close", () => clearTimeout(timer));
}
