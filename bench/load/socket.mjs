/* Connections that read into one buffer: one each would cost more than what is read. */
import { once } from "node:events";
import { connect } from "node:net";

const BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

/**
 * Connects to the host and port of a URL.
 *
 * @param {string} url
 * @param {(chunk: Buffer) => void} onBytes Takes what comes. It is only good during the call.
 * @returns {Promise<import("node:net").Socket>}
 */
export async function openSocket(url, onBytes) {
  const { hostname, port } = new URL(url);
  const socket = connect({
    host: hostname,
    port: Number(port),
    onread: {
      buffer: BUFFER,
      callback(length) {
        onBytes(BUFFER.subarray(0, length));
        return true;
      },
    },
  });
  await once(socket, "connect");
  socket.setNoDelay(true);
  return socket;
}
