import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Client, Metadata, type ServiceError, credentials, status } from "@grpc/grpc-js";
import type { ErrorInfo } from "../../../gen/google/rpc/error_details_pb.ts";
import { type CallOptions, type Door, DoorError } from "./door.ts";
import { statusInfos } from "./raw-protocol.ts";
import { type Stub, rpcClient } from "./rpc-client.ts";

/** The official gRPC client for Node. */
export const grpcJsDoor: Door = {
  name: "grpc-js",
  can: { deadlines: true, write: "yes", details: true },
  client: ({ url, authorization }) => rpcClient(grpcJsStub(url, authorization)),
};

function grpcJsStub(url: string, authorization: string | undefined): Stub {
  const metadata = () => {
    const fields = new Metadata();
    if (authorization !== undefined) fields.set("authorization", authorization);
    return fields;
  };
  const client = new Client(new URL(url).host, credentials.createInsecure());
  return {
    unary: (method, request, options) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          pathOf(method),
          encoder(method.input),
          decoder(method.output),
          request,
          metadata(),
          callOptions(options),
          (error, response) => {
            if (error !== null) reject(error);
            else if (response === undefined) reject(new Error("no response"));
            else resolve(response);
          },
        );
      }),
    serverStream(method, request, options) {
      const call = client.makeServerStreamRequest(
        pathOf(method),
        encoder(method.input),
        decoder(method.output),
        request,
        metadata(),
        callOptions(options),
      );
      // The iterator reports the error; after a cancel it is irrelevant.
      call.on("error", () => {});
      return { responses: call, cancel: () => call.cancel() };
    },
    bidiStream(method, requests, options) {
      const call = client.makeBidiStreamRequest(
        pathOf(method),
        encoder(method.input),
        decoder(method.output),
        metadata(),
        callOptions(options),
      );
      call.on("error", () => {});
      void (async () => {
        for await (const request of requests) call.write(request);
        call.end();
      })();
      return { responses: call, cancel: () => call.cancel() };
    },
    toError: grpcJsDoorError,
    async close() {
      client.close();
    },
  };
}

function pathOf(method: { readonly name: string; readonly parent: { readonly typeName: string } }) {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder<Desc extends DescMessage>(schema: Desc) {
  return (message: MessageShape<Desc>) => Buffer.from(toBinary(schema, message));
}

function decoder<Desc extends DescMessage>(schema: Desc) {
  return (bytes: Buffer) => fromBinary(schema, bytes);
}

function callOptions(options: CallOptions | undefined) {
  return options?.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
}

function grpcJsDoorError(error: unknown): DoorError {
  if (!isServiceError(error)) throw error;
  const name = status[error.code]?.toLowerCase() ?? String(error.code);
  const code = name === "cancelled" ? "canceled" : name;
  return new DoorError(code, error.details, errorInfo(error.metadata), error);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "metadata" in error && "details" in error;
}

/** The ErrorInfo in `grpc-status-details-bin`. */
function errorInfo(metadata: Metadata): ErrorInfo | undefined {
  const [encoded] = metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(encoded)) return undefined;
  return statusInfos(encoded).find(({ domain }) => domain === "millrace");
}
