import type { Socket } from "node:net";
import { networkOf } from "../../limits/client-addresses.ts";
import type { FairSet } from "../../limits/fair-set.ts";

/** First bytes of every HTTP/2 connection with prior knowledge (RFC 9113, section 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** How long a connection may take to show what it speaks, in milliseconds. */
const DECIDE_TIMEOUT_MS = 10_000;

/** Who serves connections of each kind. */
export interface ProtocolServers {
  readonly http1: ConnectionServer;
  readonly http2: ConnectionServer;
}

/** A server of Node that is handed its connections. */
interface ConnectionServer {
  emit(event: "connection", socket: Socket): boolean;
}

/** Sorts connections by protocol. */
export interface Sniffer {
  /** Takes a new connection. */
  readonly accept: (socket: Socket) => void;
  /** Called once a connection has sent its first request, or its HTTP/2 settings: it no longer counts as unsettled. */
  readonly settle: (socket: Socket) => void;
  /** Drops connections that have not shown what they speak. */
  readonly close: () => void;
}

/**
 * Hands each connection of one plaintext port to the server of its protocol, by its first bytes.
 *
 * Connections that have sent no request yet are bounded in number. When there are too many, the oldest
 * of the address that has the most is closed, so that silent ones do not keep others out.
 *
 * @param unsettled Holds the connections that have sent no request.
 */
export function createSniffer(servers: ProtocolServers, unsettled: FairSet<Socket>): Sniffer {
  /** Those whose protocol is not known yet. */
  const undecided = new Set<Socket>();
  const settle = (socket: Socket) => void unsettled.delete(socket);
  function onClose(this: Socket) {
    settle(this);
  }
  const accept = (socket: Socket) => {
    // Outlives this: it must not hold what this works with.
    socket.on("error", destroy);
    unsettled.add(networkOf(socket.remoteAddress), socket)?.destroy();
    socket.once("close", onClose);
    socket.setNoDelay(true);
    undecided.add(socket);
    const timer = setTimeout(() => socket.destroy(), DECIDE_TIMEOUT_MS);
    let seen: Buffer = Buffer.alloc(0);

    const stop = () => {
      clearTimeout(timer);
      undecided.delete(socket);
      socket.off("data", onData);
      socket.off("close", stop);
    };
    const onData = (chunk: Buffer) => {
      seen = seen.byteLength === 0 ? chunk : Buffer.concat([seen, chunk]);
      const kind = protocolOf(seen);
      if (kind === undefined) return;
      stop();
      socket.pause();
      socket.unshift(seen);
      servers[kind].emit("connection", socket);
      // The HTTP/1.1 server does not resume a stream that it finds paused; the HTTP/2 server reads it itself.
      if (kind === "http1") socket.resume();
    };
    socket.on("data", onData);
    socket.on("close", stop);
  };
  return {
    accept,
    settle,
    close: () => {
      for (const socket of undecided) socket.destroy();
    },
  };
}
function destroy(this: Socket): void {
  this.destroy();
}

/** What the first bytes of a connection are; undefined when more are needed. */
function protocolOf(seen: Buffer): keyof ProtocolServers | undefined {
  if (!startAgrees(seen, PREFACE)) return "http1";
  return seen.byteLength < PREFACE.byteLength ? undefined : "http2";
}

/** Whether one of the two begins with the other. */
function startAgrees(a: Buffer, b: Buffer): boolean {
  const length = Math.min(a.byteLength, b.byteLength);
  return a.subarray(0, length).equals(b.subarray(0, length));
}
