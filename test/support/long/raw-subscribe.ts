import { once } from "node:events";
import {
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  connect as connectHttp2,
} from "node:http2";
import { type MessageInitShape, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  SubscribeRequestSchema,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from "millrace/v1";

const PATH = "/millrace.v1.StreamService/Subscribe";
const PREFIX_BYTES = 5;
/** Statuses that a subscription may end with. */
const CODES = new Map([
  ["8", Code.ResourceExhausted],
  ["14", Code.Unavailable],
]);

/** Follows over bare HTTP/2: what a client costs is spent on reading frames, so that a test can have many. */
export type RawSubscribe = (
  request: MessageInitShape<typeof SubscribeRequestSchema>,
  options: { signal: AbortSignal },
) => AsyncIterable<SubscribeResponse>;

/** Subscribes over one connection, opened at the first call and again after it was lost. */
export function createRawSubscribe(url: string): RawSubscribe {
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
  return async function* subscribe(request, { signal }) {
    const stream = open().request({
      ":method": "POST",
      ":path": PATH,
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    let trailers: IncomingHttpHeaders = {};
    stream.on("trailers", (headers) => (trailers = headers));
    stream.on("error", () => {});
    const abort = () => stream.close();
    signal.addEventListener("abort", abort, { once: true });
    try {
      stream.end(
        envelope(toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, request))),
      );
      let rest: Buffer = Buffer.alloc(0);
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        rest = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]);
        while (rest.byteLength >= PREFIX_BYTES) {
          const end = PREFIX_BYTES + rest.readUInt32BE(1);
          if (rest.byteLength < end) break;
          yield fromBinary(SubscribeResponseSchema, rest.subarray(PREFIX_BYTES, end));
          rest = rest.subarray(end);
        }
      }
      if (!stream.closed) await once(stream, "close");
      const { "grpc-status": status, "grpc-message": message } = trailers;
      if (status !== "0") {
        const known = CODES.get(typeof status === "string" ? status : "14");
        throw new ConnectError(
          typeof message === "string" ? message : "cut",
          known ?? Code.Unknown,
        );
      }
    } finally {
      signal.removeEventListener("abort", abort);
      stream.close();
    }
  };
}

function envelope(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([prefix, message]);
}
