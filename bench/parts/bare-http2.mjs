/* Baseline: node:http2 by itself. It sends a request's body back, with the trailers of gRPC. */
import { createServer } from "node:http2";
import { listening } from "../lib/listening.mjs";

/** Opens the part. */
export async function open() {
  const server = createServer();
  server.on("stream", (stream) => {
    /** @type {Buffer[]} */
    const chunks = [];
    stream.on("data", (/** @type {Buffer} */ chunk) => chunks.push(chunk));
    stream.on("end", () => {
      stream.respond(
        { ":status": 200, "content-type": "application/grpc+proto" },
        { waitForTrailers: true },
      );
      stream.end(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
    });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("error", () => {});
  });
  return { info: { url: await listening(server) } };
}
