import type { ServerHttp2Session } from "node:http2";

/** Most streams that one HTTP/2 connection may have open before one of its calls was trusted. */
export const MAX_STREAMS = 250;
/** The same once a call was. */
export const MAX_TRUSTED_STREAMS = 1000;

/** Sessions whose limit was raised. */
const raised = new WeakSet<object>();

/**
 * Lets an HTTP/2 connection have as many streams as trusted callers may. Clients learn of it by a SETTINGS
 * frame; what they wanted to open beyond the limit waits with them until then.
 *
 * @param connection The HTTP/2 session. Anything else, as the socket of HTTP/1.1, stays as it is.
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
