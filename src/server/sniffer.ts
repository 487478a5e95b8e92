import type { Server as Http1Server } from "node:http";
import type { Http2Server } from "node:http2";
import type { Socket } from "node:net";

/** First bytes of every HTTP/2 connection with prior knowledge (RFC 9113, section 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** How long a connection may take to show what it speaks, in milliseconds. */
const DECIDE_TIMEOUT_MS = 10_000;
/** Most connections that have not shown it yet; the next one is closed at once. */
const MAX_UNDECIDED = 1000;

/** Sorts connections by protocol. */
export interface Sniffer {
  /** Takes a new connection. */
  readonly accept: (socket: Socket) => void;
  /** Drops connections that have not shown what they speak. */
  readonly close: () => void;
}

/**
 * Hands each connection of one plaintext port to the server of its protocol, by its first bytes:
 * the HTTP/2 preface, or else HTTP/1.1.
 */
export function createSniffer(h1: Http1Server, h2: Http2Server): Sniffer {
  const undecided = new Set<Socket>();
  const accept = (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    if (undecided.size >= MAX_UNDECIDED) return void socket.destroy();
    undecided.add(socket);
    socket.setNoDelay(true);
    const timer = setTimeout(() => socket.destroy(), DECIDE_TIMEOUT_MS);
    let seen: Buffer = Buffer.alloc(0);

    const settle = () => {
      undecided.delete(socket);
      clearTimeout(timer);
      socket.off("data", onData);
      socket.off("close", settle);
    };
    const onData = (chunk: Buffer) => {
      seen = seen.byteLength === 0 ? chunk : Buffer.concat([seen, chunk]);
      const compared = Math.min(seen.byteLength, PREFACE.byteLength);
      const matches = seen.subarray(0, compared).equals(PREFACE.subarray(0, compared));
      if (matches && compared < PREFACE.byteLength) return;
      settle();
      socket.pause();
      socket.unshift(seen);
      (matches ? h2 : h1).emit("connection", socket);
      // The HTTP/1 server does not resume a stream that it finds paused; the HTTP/2 server reads it itself.
      if (!matches) socket.resume();
    };
    socket.on("data", onData);
    socket.on("close", settle);
  };
  return { accept, close: () => undecided.forEach((socket) => socket.destroy()) };
}
