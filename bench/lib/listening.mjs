/* Servers of the baselines. */
import { once } from "node:events";

/**
 * Starts a server on a free loopback port.
 *
 * @param {import("node:net").Server} server
 * @returns {Promise<string>} Its URL.
 */
export async function listening(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("It has no port.");
  return `http://127.0.0.1:${address.port}`;
}
