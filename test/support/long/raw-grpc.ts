import { once } from "node:events";
import {
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  connect as connectHttp2,
} from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

const PREFIX_BYTES = 5;
/** Statuses that a call may end with. */
const CODES = new Map([
  ["7", Code.PermissionDenied],
  ["8", Code.ResourceExhausted],
  ["14", Code.Unavailable],
]);

/** One call over plain HTTP/2. */
export interface RawCall {
  send(message: Uint8Array): void;
  /** Half-closes. */
  end(): void;
  /** The response messages. Throws when the call ends with an error. */
  messages(): AsyncGenerator<Buffer, void>;
  /** Resets the call. Idempotent. */
  close(): void;
}

/** gRPC over plain HTTP/2, cheap enough for tests with many clients. */
export type RawGrpc = (method: string, authorization?: string) => RawCall;

/** Calls over one connection, which opens at the first call and reopens after a loss. */
export function createRawGrpc(url: string): RawGrpc {
  let session: ClientHttp2Session | undefined;
  const open = () => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connectHttp2(url);
      session.setMaxListeners(0);
      session.on("error", () => {});
      session.unref();
    }
    return session;
  };
  return (method, authorization) => {
    const stream = open().request({
      ":method": "POST",
      ":path": `/millrace.v1.StreamService/${method}`,
      "content-type": "application/grpc+proto",
      te: "trailers",
      ...(authorization !== undefined && { authorization }),
    });
    let trailers: IncomingHttpHeaders = {};
    stream.on("trailers", (headers) => (trailers = headers));
    stream.on("error", () => {});
    return {
      send: (message) => void stream.write(envelope(message)),
      end: () => void stream.end(),
      close: () => stream.close(),
      async *messages() {
        let rest: Buffer = Buffer.alloc(0);
        for await (const chunk of stream as AsyncIterable<Buffer>) {
          rest = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]);
          while (rest.byteLength >= PREFIX_BYTES) {
            const end = PREFIX_BYTES + rest.readUInt32BE(1);
            if (rest.byteLength < end) break;
            yield rest.subarray(PREFIX_BYTES, end);
            rest = rest.subarray(end);
          }
        }
        if (!stream.closed) await once(stream, "close");
        const { "grpc-status": status, "grpc-message": message } = trailers;
        if (status === "0") return;
        const code = CODES.get(typeof status === "string" ? status : "14");
        throw new ConnectError(typeof message === "string" ? message : "cut", code ?? Code.Unknown);
      },
    };
  };
}

function envelope(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.byteLength, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}
