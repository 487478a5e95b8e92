import type { Server as HttpServer } from "node:http";
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type AddressInfo, type Socket, createServer as createNet } from "node:net";
import { StreamError } from "../../core/errors.ts";
import type { FairSet } from "../../limits/fair-set.ts";
import { type ConnectionAdmission, connectionRefuser } from "./connection-admission.ts";
import { type ProtocolServers, createSniffer } from "./sniffer.ts";

/** Limits of the connections of a port. */
export interface PortLimits {
  /** Connections that have sent no request, of all ports together. */
  readonly unsettled: FairSet<Socket>;
  /** Decides whether a connection is served. */
  readonly admitConnection: ConnectionAdmission;
}

/** The servers of a port. */
interface PortServers extends ProtocolServers {
  readonly http1: HttpServer;
}

/** An open plaintext port. */
interface TcpPort {
  readonly address: AddressInfo;
  /** To be called when a connection has shown that it is in use. */
  readonly settle: (socket: Socket) => void;
  /** Whether a connection has shown neither its first request nor its HTTP/2 settings. */
  readonly hasUnsettled: () => boolean;
  /**
   * Accepts the connections that the system holds, for `ACCEPT_HELD_MS` at most, and then no more.
   * From then on connections of HTTP/1.1 close when they are idle.
   */
  stopAccepting(): Promise<void>;
  /**
   * Accepts no more connections, closes idle ones, and cuts those that are left after `graceMs`.
   * Resolves when all are closed.
   */
  close(graceMs: number): Promise<void>;
}

/** How often the system probes a silent connection, in milliseconds. */
const KEEP_ALIVE_MS = 30_000;
/**
 * Connections that the system may hold until they are accepted; it may have a lower limit of its
 * own.
 */
const BACKLOG = 8192;
/** How long connections that the system holds are accepted before a close, in milliseconds. */
const ACCEPT_HELD_MS = 1000;
/** How often connections are checked for idle ones during a close, in milliseconds. */
const IDLE_CHECK_MS = 50;

/**
 * Opens a port whose connections are admitted, sorted by protocol, and dropped when too many of
 * them send no request.
 *
 * @throws Error with the system's code, for example EADDRINUSE.
 */
export async function openTcpPort(
  host: string,
  port: number,
  servers: PortServers,
  { unsettled, admitConnection }: PortLimits,
): Promise<TcpPort> {
  const { http1 } = servers;
  const sniffer = createSniffer(servers, unsettled);
  http1.on("request", ({ socket }) => sniffer.settle(socket));
  http1.on("upgrade", ({ socket }) => sniffer.settle(socket));
  // It does not listen itself, so its check of header timeouts has to be started by hand.
  http1.emit("listening");
  const sockets = new Set<Socket>();
  // Counted connections, and what releases them: those of this machine are not counted.
  const counted = new Map<Socket, () => void>();
  // One listener for all connections: each of its own would cost an idle one 160 bytes.
  function onClose(this: Socket) {
    sniffer.settle(this);
    sockets.delete(this);
    counted.get(this)?.();
    counted.delete(this);
  }
  const refuse = connectionRefuser();
  let accepted = 0;
  const net = createNet((socket) => {
    accepted++;
    sockets.add(socket);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on("close", onClose);
    try {
      const release = admitConnection(socket);
      if (release !== undefined) counted.set(socket, release);
    } catch (refusal) {
      return refuse(socket, StreamError.from(refusal));
    }
    sniffer.accept(socket);
  });
  net.listen({ host, port, backlog: BACKLOG });
  await once(net, "listening");
  let closed: Promise<void> | undefined;
  /** Resolves when every connection is closed. */
  const closeNet = async () => {
    const ended = new Promise<void>((resolve) => net.close(() => resolve()));
    http1.closeIdleConnections();
    const idle = setInterval(() => http1.closeIdleConnections(), IDLE_CHECK_MS);
    await ended;
    clearInterval(idle);
  };
  return {
    address: net.address() as AddressInfo,
    settle: sniffer.settle,
    hasUnsettled() {
      if (unsettled.size === 0) return false;
      for (const socket of sockets) if (unsettled.has(socket)) return true;
      return false;
    },
    async stopAccepting() {
      const endMs = performance.now() + ACCEPT_HELD_MS;
      // Closing the port resets the connections that the system holds. Each turn of the event loop
      // accepts one, and reads the requests that have arrived on idle connections; the first may be
      // the rest of a turn that has done so already.
      await nextTurn();
      let before;
      do {
        before = accepted;
        await nextTurn();
      } while (accepted !== before && performance.now() < endMs);
      closed ??= closeNet();
    },
    async close(graceMs) {
      closed ??= closeNet();
      sniffer.close();
      const cut = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(cut);
      http1.close();
    },
  };
}
