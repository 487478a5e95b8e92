import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Unfinished responses of HTTP/1.1 connections: several per connection if requests are pipelined.
 */
export interface OpenResponses {
  /** Whether the connection has an open response. */
  has(socket: Socket): boolean;
  /** Calls back when the connection has no open response; at once when it has none now. */
  whenNone(socket: Socket, callback: () => void): void;
}

/**
 * Tracks the responses of a server, and closes those that are still queued when their connection
 * closes. Node closes only the one that is being sent, so the calls of the others would run on.
 */
export function trackResponses(server: Server): OpenResponses {
  // In the order of their requests, which is the order of sending.
  const responses = new WeakMap<Socket, ServerResponse[]>();
  server.on("request", ({ socket }, response) => {
    const open = responses.get(socket);
    if (open === undefined) {
      const list = [response];
      responses.set(socket, list);
      // Node closes its response first.
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
      // A socket that becomes a WebSocket must not retain its last response.
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
