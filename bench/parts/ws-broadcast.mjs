/* Baseline: a loop over the sockets of `ws`. What comes at /publish goes to all others. */
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { listening } from "../lib/listening.mjs";

/** Opens the part. */
export async function open() {
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  /** @type {Set<import("ws").WebSocket>} */
  const followers = new Set();
  sockets.on("connection", (socket, { url }) => {
    if (url === "/publish") {
      socket.on("message", (/** @type {Buffer} */ bytes) => {
        const text = String(bytes);
        for (const follower of followers) follower.send(text);
      });
      return;
    }
    followers.add(socket);
    socket.on("close", () => followers.delete(socket));
  });
  return { info: { url: await listening(server) } };
}
