import { type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { JWK } from "jose";

/** An issuer's web server, whose behaviour can be changed at any time. */
export interface JwksServer {
  readonly url: string;
  /** Number of requests so far. */
  readonly requests: number;
  /** Responds with these keys from now on. */
  publish(...keys: JWK[]): void;
  /** Responds in any way from now on. */
  respond(handler: (response: ServerResponse) => void): void;
  /** Closes the port and all connections. */
  stop(): Promise<void>;
  /** Opens the same port again. */
  start(): Promise<void>;
}

/** Starts a server on a free port of this machine. */
export async function jwksServer(...keys: JWK[]): Promise<JwksServer> {
  let requests = 0;
  let handler: (response: ServerResponse) => void = () => {};
  const server = createServer((_request, response) => {
    requests++;
    handler(response);
  });
  const listen = (port: number) =>
    new Promise<void>((resolve) => {
      server.listen(port, "127.0.0.1", resolve);
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const self: JwksServer = {
    url: `http://127.0.0.1:${port}/jwks`,
    get requests() {
      return requests;
    },
    publish(...published) {
      handler = (response) => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ keys: published }));
      };
    },
    respond(next) {
      handler = next;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    start: () => listen(port),
  };
  self.publish(...keys);
  return self;
}
