import type { RequestListener, Server } from "node:http";
import type { Socket } from "node:net";
import { refuse } from "../bridge/bridge.ts";
import type { ConnectionAdmission } from "./connection-admission.ts";
import { createHttp1 } from "./http1.ts";
import type { UpgradeListener } from "./upgrades.ts";

/** A port of its own for workers. */
export interface WorkerPort {
  readonly port: number;
  /** Accepts nothing new, and cuts what is left after a while. Idempotent. */
  close(graceMs: number): Promise<void>;
}

/** Opens a port where workers connect at `/`, as those of an iii engine do. Rejects when it cannot be had. */
export async function openWorkerPort(
  host: string,
  port: number,
  upgrade: UpgradeListener,
  admitConnection: ConnectionAdmission,
): Promise<WorkerPort> {
  const server = createHttp1(answer, (request, socket, head) => {
    if (!upgrade(request, socket, head)) refuse(socket, 404, "Not found.");
    return true;
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    // It is known already when an upgrade was ignored.
    if (sockets.has(socket)) return;
    sockets.add(socket);
    // Node takes its own listener away with an upgrade.
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
    if (admitConnection(socket) !== undefined) socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return {
    port: portOf(server),
    async close(graceMs) {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

const answer: RequestListener = (_request, response) => {
  response.writeHead(426, { "content-type": "text/plain; charset=utf-8", upgrade: "websocket" });
  response.end("This port is for workers, which connect by WebSocket.\n");
};

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
