import type { RequestListener } from "node:http";
import type { Socket } from "node:net";
import { refuse } from "../bridge/bridge.ts";
import { createHttp1 } from "./port/http1.ts";
import { type PortLimits, openTcpPort } from "./port/tcp-port.ts";
import type { UpgradeListener } from "./port/upgrades.ts";

/** An open port for workers only. */
export interface WorkerPort {
  readonly port: number;
  /** Accepts no more connections, and cuts those that are left after `graceMs`. Idempotent. */
  close(graceMs: number): Promise<void>;
}

/**
 * Opens a port where workers connect at `/`, as those of an iii engine do.
 *
 * @throws Error with the system's code, for example EADDRINUSE.
 */
export async function openWorkerPort(
  host: string,
  port: number,
  upgrade: UpgradeListener,
  limits: PortLimits,
): Promise<WorkerPort> {
  const http1 = createHttp1(refuseRequest, (request, socket, head) => {
    if (!upgrade(request, socket, head)) refuse(socket, 404, "Not found.");
    return true;
  });
  // HTTP/2 goes to the HTTP/1.1 server, too, which refuses it as malformed.
  const http2 = {
    emit(event: "connection", socket: Socket) {
      const isHandled = http1.emit(event, socket);
      socket.resume();
      return isHandled;
    },
  };
  const tcp = await openTcpPort(host, port, { http1, http2 }, limits);
  let closed: Promise<void> | undefined;
  return { port: tcp.address.port, close: (graceMs) => (closed ??= tcp.close(graceMs)) };
}

const refuseRequest: RequestListener = (_request, response) => {
  response.writeHead(426, { "content-type": "text/plain; charset=utf-8", upgrade: "websocket" });
  response.end("This port is for workers, which connect by WebSocket.\n");
};
