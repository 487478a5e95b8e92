import type { IncomingMessage } from "node:http";
import { type ServerHttp2Stream, constants } from "node:http2";

/** Grace period for a request to end after its response, in milliseconds. */
const DISMISS_MS = 1000;

/**
 * Discards the rest of an HTTP/1.1 request after its response, and closes its connection when the
 * request does not end soon.
 */
export function dismissRequest(request: IncomingMessage): void {
  // The connection accepts no other request before this one is read to its end.
  request.resume();
  if (request.complete) return;
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), DISMISS_MS);
  const cancel = () => clearTimeout(timer);
  request.once("end", cancel);
  request.once("close", cancel);
}

/** Closes an HTTP/2 stream that its client does not end soon after the response. */
export function dismissStream(stream: ServerHttp2Stream): void {
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), DISMISS_MS);
  stream.once("close", () => clearTimeout(timer));
}
