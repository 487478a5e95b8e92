import { once } from "node:events";
import { type ServerHttp2Session, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

/** A cleartext HTTP/2 server with the given services only. */
export interface DiscoveryServer {
  readonly url: string;
  /** `host:port`. */
  readonly address: string;
  close(): Promise<void>;
}

/** Starts the server on a free loopback port. */
export async function serveDiscovery(
  routes: (router: ConnectRouter) => void,
): Promise<DiscoveryServer> {
  const server = createServer(connectNodeAdapter({ routes }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${address}`,
    address,
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}
