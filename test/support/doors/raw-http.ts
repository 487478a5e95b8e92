import { Agent, type IncomingHttpHeaders, request as requestHttp1 } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { buffer } from "node:stream/consumers";

/** A request as bytes. */
export interface RawRequest {
  /** Default POST. */
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Sends the body and leaves the request open. */
  readonly keepOpen?: boolean;
}

/** A response as bytes. */
export interface RawResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
}

/** Sends and receives bytes over one connection, and reconnects when it closes. */
export interface RawClient {
  readonly httpVersion: "1.1" | "2";
  request(request: RawRequest): Promise<RawResponse>;
  close(): void;
}

/** Over HTTP/1.1, one request at a time on one connection. */
export function rawHttp1(url: string): RawClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { hostname, port } = new URL(url);
  return {
    httpVersion: "1.1",
    request: ({ method = "POST", path, headers = {}, body, keepOpen = false }) =>
      new Promise((resolve, reject) => {
        const length =
          body === undefined || keepOpen ? {} : { "content-length": String(body.byteLength) };
        const sent = requestHttp1(
          { agent, hostname, port, method, path, headers: { ...length, ...headers } },
          (response) => {
            const { statusCode: status = 0 } = response;
            buffer(response).then((bytes) => {
              if (!sent.writableFinished) sent.destroy();
              resolve({
                status,
                headers: response.headers,
                body: bytes,
                trailers: response.trailers,
              });
            }, reject);
          },
        );
        // A refusal may arrive before the whole body is sent; then only the response counts.
        sent.on("error", (error) => setImmediate(reject, error));
        if (body !== undefined) sent.write(body);
        if (!keepOpen) sent.end();
      }),
    close: () => agent.destroy(),
  };
}

/** Over HTTP/2 with prior knowledge. */
export function rawHttp2(url: string): RawClient {
  let session: ClientHttp2Session | undefined;
  const open = () => {
    if (session === undefined || session.closed || session.destroyed) {
      // Enough for the largest body: beyond it, Node's client rejects responses.
      session = connect(url, { maxSessionMemory: 1000 });
      session.on("error", () => {});
    }
    return session;
  };
  return {
    httpVersion: "2",
    request: ({ method = "POST", path, headers = {}, body, keepOpen = false }) =>
      new Promise((resolve, reject) => {
        const stream = open().request({ ...headers, ":method": method, ":path": path });
        let head: IncomingHttpHeaders & { readonly ":status"?: number | undefined } = {};
        let trailers: IncomingHttpHeaders = {};
        const chunks: Buffer[] = [];
        stream.on("response", (received) => (head = received));
        stream.on("trailers", (received) => (trailers = received));
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("error", reject);
        stream.on("end", () => {
          resolve({
            status: head[":status"] ?? 0,
            headers: head,
            body: Buffer.concat(chunks),
            trailers,
          });
          stream.close();
        });
        if (body !== undefined) stream.write(body);
        if (!keepOpen) stream.end();
      }),
    close: () => session?.destroy(),
  };
}
