/* Baseline: a broadcast of Socket.IO. */
import { createServer } from "node:http";
import { Server } from "socket.io";
import { listening } from "../lib/listening.mjs";

/** Opens the part. */
export async function open() {
  const server = createServer();
  // Clients of the benchmark send no pongs.
  const io = new Server(server, { pingInterval: 3_600_000, transports: ["websocket"] });
  io.on("connection", (socket) => {
    socket.on("publish", (value) => socket.broadcast.emit("event", value));
  });
  return { info: { url: await listening(server) } };
}
