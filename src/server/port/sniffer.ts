import type { Socket } from "node:net";
import { networkOf } from "../../limits/client-addresses.ts";
import type { FairSet } from "../../limits/fair-set.ts";

/** First bytes of every HTTP/2 connection with prior knowledge (RFC 9113, section 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** How long a connection may take to show its protocol, in milliseconds. */
const DECIDE_TIMEOUT_MS = 10_000;

/** The servers of the two protocols. */
export interface ProtocolServers {
  readonly http1: ConnectionServer;
  readonly http2: ConnectionServer;
}

/** A server of Node that receives its connections by events. */
interface ConnectionServer {
  emit(event: "connection", socket: Socket): boolean;
}

/** Sorts connections by protocol. */
export interface Sniffer {
  /** Takes a new connection. */
  readonly accept: (socket: Socket) => void;
  /**
   * Called when a connection has sent its first request, or its HTTP/2 settings, or has closed: it
   * is no longer unsettled.
   */
  readonly settle: (socket: Socket) => void;
  /** Drops connections whose protocol is not known yet. */
  readonly close: () => void;
}

/**
 * Hands each connection of one plaintext port to the server of its protocol, by its first bytes.
 *
 * The number of connections that have sent no request is limited. Beyond the limit, the oldest one
 * of the address with the most is closed, so that silent connections do not keep others out.
 *
 * @param unsettled Holds the connections that have sent no request.
 */
export function createSniffer(servers: ProtocolServers, unsettled: FairSet<Socket>): Sniffer {
  /** Connections whose protocol is not known yet. */
  const undecided = new Set<Socket>();
  const settle = (socket: Socket) => void unsettled.delete(socket);
  const accept = (socket: Socket) => {
    // Shared functions, because these listeners outlive the call and must not retain its closure.
    socket.on("error", destroy);
    unsettled.add(networkOf(socket.remoteAddress), socket)?.destroy();
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
      // The HTTP/1.1 server does not resume a paused socket; the HTTP/2 server reads it itself.
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

/** The protocol that the first bytes of a connection show; undefined when more are needed. */
function protocolOf(seen: Buffer): keyof ProtocolServers | undefined {
  if (!startAgrees(seen, PREFACE)) return "http1";
  return seen.byteLength < PREFACE.byteLength ? undefined : "http2";
}

/** Whether one of them begins with the other. */
function startAgrees(a: Buffer, b: Buffer): boolean {
  const length = Math.min(a.byteLength, b.byteLength);
  return a.subarray(0, length).equals(b.subarray(0, length));
}
