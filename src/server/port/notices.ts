import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";

/** Notifies the peers of HTTP/2 connections that these will close. */
export interface Notices {
  /** Watches a new connection. */
  add(session: ServerHttp2Session, socket: Socket): void;
  /** Forgets a connection that has closed. */
  remove(session: ServerHttp2Session): void;
  /** Sends a notice over every connection, also over those that are added later. Idempotent. */
  send(): void;
  /** Whether every peer has confirmed its notice, or has closed its connection. */
  areConfirmed(): boolean;
}

/** Creates the notices of the connections of a port; none is sent yet. */
export function createNotices(): Notices {
  const unconfirmed = new Map<ServerHttp2Session, Socket>();
  /** Sessions whose peer has our settings: no other frame may be sent before those. */
  const settled = new WeakSet<ServerHttp2Session>();
  let isSending = false;
  const notify = async (session: ServerHttp2Session, socket: Socket) => {
    await announceEnd(session, socket);
    unconfirmed.delete(session);
  };
  return {
    add(session, socket) {
      unconfirmed.set(session, socket);
      session.once("localSettings", () => {
        settled.add(session);
        if (isSending) void notify(session, socket);
      });
    },
    remove: (session) => void unconfirmed.delete(session),
    send() {
      if (isSending) return;
      isSending = true;
      for (const [session, socket] of unconfirmed)
        if (settled.has(session)) void notify(session, socket);
    },
    areConfirmed: () => unconfirmed.size === 0,
  };
}

/**
 * A GOAWAY frame that refuses no stream yet (RFC 9113, section 6.8): no error, the highest stream
 * identifier.
 */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/**
 * Sends a notice that the connection will close, and a ping after it. Once the ping is acknowledged,
 * every stream that the peer opened before it received the notice has arrived.
 *
 * The notice is written to the socket: after a GOAWAY of its own, the HTTP/2 library of Node no
 * longer reads a connection without streams, so it would neither serve the last streams of the peer
 * nor receive the acknowledgement. The library writes whole frames only, so the notice is between
 * two of them.
 */
async function announceEnd(session: ServerHttp2Session, socket: Socket): Promise<void> {
  if (session.destroyed || session.closed || socket.destroyed) return;
  socket.write(NOTICE);
  await new Promise<void>((resolve) => {
    session.once("close", resolve);
    if (!session.ping(() => resolve())) resolve();
  });
}
