import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { OpenResponses } from "./open-responses.ts";

/**
 * Accepts or refuses a request to upgrade its HTTP/1.1 connection to WebSocket.
 *
 * @returns false when the path has no WebSocket: the request is then served like any other.
 */
export type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => boolean;

/**
 * Passes WebSocket upgrades of an HTTP/1.1 server to their listener, on new connections and on
 * those that already carried requests. Every other upgrade that a client offers is ignored, as RFC
 * 9110 (section 7.8) allows, and its request served: curl --http2 and Java's HttpClient offer
 * `Upgrade: h2c` with ordinary requests.
 *
 * Node passes on all upgrades or none (before Node 24), and abandons the connection with each. An
 * ignored upgrade is therefore put back on its connection without its `Upgrade` header, followed by
 * all later bytes, and the connection is returned to the server as if it were new.
 */
export function sortUpgrades(
  server: Server,
  responses: OpenResponses,
  onUpgrade: UpgradeListener,
): void {
  const sort = (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (socket.destroyed) return;
    if (asksForWebSocket(request) && onUpgrade(request, socket, head)) return;
    socket.unshift(Buffer.concat([withoutUpgrade(request), head]));
    // Clears the idle timeout that the server set after an earlier response.
    socket.setTimeout(0);
    server.emit("connection", socket);
  };
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    // A pipelined request waits its turn: nothing may be sent into the middle of an earlier
    // response.
    responses.whenNone(socket, () => sort(request, socket, head));
  });
}

function asksForWebSocket({ method, headers }: IncomingMessage): boolean {
  return method === "GET" && headers.upgrade?.toLowerCase() === "websocket";
}

/** The head of a request as received, without its `Upgrade` headers. */
function withoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  let head = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = "", value = ""] = rawHeaders.slice(i, i + 2);
    if (name.toLowerCase() !== "upgrade") head += `${name}: ${value}\r\n`;
  }
  return Buffer.from(`${head}\r\n`, "latin1");
}
