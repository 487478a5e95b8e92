import { type ClientHttp2Session, type IncomingHttpHeaders, connect } from "node:http2";

/** What came back of a call. */
export interface H2Answer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** An HTTP/2 connection for bytes of any kind. */
export function openH2(url: string): ClientHttp2Session {
  const session = connect(url, { maxSessionMemory: 1000 });
  session.on("error", () => {});
  return session;
}

/**
 * Sends a body, and resolves when the call is over, however it ends.
 *
 * @param end Whether the request ends.
 */
export function callH2(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  end = true,
): Promise<H2Answer> {
  return new Promise((resolve) => {
    const stream = session.request({ ":method": "POST", ":path": path, ...headers });
    const answer: { headers: IncomingHttpHeaders; trailers: IncomingHttpHeaders } = {
      headers: {},
      trailers: {},
    };
    const chunks: Buffer[] = [];
    stream.on("response", (given) => (answer.headers = given));
    stream.on("trailers", (given) => (answer.trailers = given));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {});
    stream.on("close", () => resolve({ ...answer, body: Buffer.concat(chunks) }));
    if (end) stream.end(body);
    else stream.write(body);
  });
}

/** A message with its prefix. */
export function enveloped(message: Uint8Array, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([prefix, message]);
}
