import { type ClientHttp2Session, type IncomingHttpHeaders, connect } from "node:http2";

/** The response of a call. */
export interface H2Response {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Opens an HTTP/2 connection that accepts responses of any size. */
export function openH2(url: string): ClientHttp2Session {
  const session = connect(url, { maxSessionMemory: 1000 });
  session.on("error", () => {});
  return session;
}

/**
 * Sends a body, and resolves when the call ends, with or without an error.
 *
 * @param end Whether to end the request after the body.
 */
export function callH2(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  end = true,
): Promise<H2Response> {
  return new Promise((resolve) => {
    const stream = session.request({ ":method": "POST", ":path": path, ...headers });
    const response: { headers: IncomingHttpHeaders; trailers: IncomingHttpHeaders } = {
      headers: {},
      trailers: {},
    };
    const chunks: Buffer[] = [];
    stream.on("response", (given) => (response.headers = given));
    stream.on("trailers", (given) => (response.trailers = given));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {});
    // A request that is still open is over for the client, too.
    stream.on("end", () => stream.close());
    stream.on("close", () => resolve({ ...response, body: Buffer.concat(chunks) }));
    if (end) stream.end(body);
    else stream.write(body);
  });
}

/** A message in an envelope. */
export function enveloped(message: Uint8Array, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([prefix, message]);
}
