import { createHmac } from "node:crypto";
import { once } from "node:events";
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
  createServer,
} from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { CERTIFICATE, KEY } from "./certificate.ts";

/** A complete received request. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Port of the client: the same for requests on one connection. */
  readonly from: number;
}

/** A server that receives webhooks. */
export interface Receiver {
  readonly port: number;
  /** Its URL, with an IP address. */
  readonly url: string;
  readonly received: readonly Received[];
  /** Number of connections so far. */
  readonly connections: () => number;
  /** Resolves when all connections are closed. */
  readonly deserted: () => Promise<void>;
}

/** Responds to the request of that index, from 0. */
export type Answering = (response: ServerResponse, index: number, request: Received) => void;

/** A response with a status, and optional headers and body. */
export function answering(
  status: number,
  body: string | Uint8Array = "",
  headers: Record<string, string> = {},
): Answering {
  return (response) => response.writeHead(status, headers).end(body);
}

/** Starts a receiver that is stopped after the test. */
export async function receive(answer: Answering): Promise<Receiver> {
  return serve(createServer, "http", answer);
}

/** The same for https, with the certificate for hooks.test. */
export async function receiveSecurely(answer: Answering): Promise<Receiver> {
  const create = (listener: RequestListener) =>
    createSecureServer({ cert: CERTIFICATE, key: KEY }, listener);
  return serve(create, "https", answer);
}

async function serve(
  create: (listener: RequestListener) => Server,
  scheme: string,
  answer: Answering,
): Promise<Receiver> {
  const received: Received[] = [];
  const open = new Set<object>();
  let connections = 0;
  let wake = () => {};
  const server = create((request, response) => {
    void readRequest(request).then((whole) => {
      received.push(whole);
      answer(response, received.length - 1, whole);
    });
  });
  server.on("connection", (socket) => {
    connections++;
    open.add(socket);
    socket.on("close", () => {
      open.delete(socket);
      wake();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${scheme}://127.0.0.1:${port}/hook`,
    received,
    connections: () => connections,
    async deserted() {
      while (open.size > 0) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

async function readRequest(request: IncomingMessage): Promise<Received> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return {
    method: request.method ?? "",
    path: request.url ?? "",
    headers: request.headers,
    body: Buffer.concat(chunks).toString("utf8"),
    from: request.socket.remotePort ?? 0,
  };
}

/** The expected signature of a request, computed as by its receiver. */
export function signatureOf({ headers, body }: Received, secret: string): string {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const signed = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`;
  return `v1,${createHmac("sha256", key).update(signed, "utf8").digest("base64")}`;
}
