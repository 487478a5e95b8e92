import type { ServerHttp2Session } from "node:http2";

/** Most open streams of an HTTP/2 connection before one of its calls was trusted. */
export const MAX_STREAMS = 250;
/** Most open streams of an HTTP/2 connection once one of its calls was trusted. */
export const MAX_TRUSTED_STREAMS = 1000;

/** Sessions whose limit was raised. */
const raised = new WeakSet<object>();

/**
 * Raises the stream limit of an HTTP/2 connection to that of trusted callers. Clients learn of it
 * by a SETTINGS frame; until then they queue the streams beyond the limit themselves.
 *
 * @param connection The HTTP/2 session. Anything else, such as a socket of HTTP/1.1, is left alone.
 */
export function raiseStreamLimit(connection: object | undefined): void {
  if (connection === undefined || raised.has(connection)) return;
  raised.add(connection);
  if (!isSession(connection) || connection.destroyed || connection.closed) return;
  connection.settings({ maxConcurrentStreams: MAX_TRUSTED_STREAMS });
}

function isSession(connection: object): connection is ServerHttp2Session {
  return "settings" in connection;
}
