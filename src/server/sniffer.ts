import type { Socket } from "node:net";

/** First bytes of every HTTP/2 connection with prior knowledge (RFC 9113, section 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** How long a connection may take to show what it speaks, in milliseconds. */
const DECIDE_TIMEOUT_MS = 10_000;
/** Most connections that have not shown it yet; the next one is closed at once. */
const MAX_UNDECIDED = 1000;

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
  /** Drops connections that have not shown what they speak. */
  readonly close: () => void;
}

/** Hands each connection of one plaintext port to the server of its protocol, by its first bytes. */
export function createSniffer(servers: ProtocolServers): Sniffer {
  const undecided = new Set<Socket>();
  const accept = (socket: Socket) => {
    // Outlives this: it must not hold what this works with.
    socket.on("error", destroy);
    if (undecided.size >= MAX_UNDECIDED) {
      socket.destroy();
      return;
    }
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
      const kind = protocolOf(seen);
      if (kind === undefined) return;
      settle();
      socket.pause();
      socket.unshift(seen);
      servers[kind].emit("connection", socket);
      // The HTTP/1.1 server does not resume a stream that it finds paused; the HTTP/2 server reads it itself.
      if (kind === "http1") socket.resume();
    };
    socket.on("data", onData);
    socket.on("close", settle);
  };
  return { accept, close: () => undecided.forEach((socket) => socket.destroy()) };
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
