import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Responses of HTTP/1.1 connections that are not sent yet: several where requests are pipelined. */
export interface OpenResponses {
  /** Whether the connection has an open response. */
  has(socket: Socket): boolean;
  /** Calls back when the connection has no open response; at once when it has none now. */
  whenNone(socket: Socket, callback: () => void): void;
}

/**
 * Follows the responses of a server, and closes those that still wait for their turn when their connection closes. Node
 * closes only the one that is being sent, so the calls behind the others would run on.
 */
export function trackResponses(server: Server): OpenResponses {
  // In the order of their requests, which is the order in which they are sent.
  const responses = new WeakMap<Socket, ServerResponse[]>();
  server.on("request", ({ socket }, response) => {
    const open = responses.get(socket);
    if (open === undefined) {
      const list = [response];
      responses.set(socket, list);
      // Node's own turn comes first.
      socket.once("close", () => process.nextTick(closeAll, list));
    } else {
      while (open[0]?.closed === true) open.shift();
      open.push(response);
    }
  });
  return {
    has: (socket) => responses.get(socket)?.at(-1)?.closed === false,
    whenNone(socket, callback) {
      const open = responses.get(socket);
      const latest = open?.at(-1);
      if (latest !== undefined && !latest.closed) {
        latest.once("close", () => this.whenNone(socket, callback));
        return;
      }
      // A socket that lives on as a WebSocket does not hold its last response.
      if (open !== undefined) open.length = 0;
      callback();
    },
  };
}

function closeAll(responses: readonly ServerResponse[]): void {
  for (const response of responses) {
    if (!response.closed) response.emit("close");
  }
}
