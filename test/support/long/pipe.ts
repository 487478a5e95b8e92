import { type MessageInitShape, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { WriteRequestSchema, type WriteResponse, WriteResponseSchema } from "millrace/v1";
import type { RawGrpc } from "./raw-grpc.ts";
import type { Calls } from "./traffic.ts";

type Request = MessageInitShape<typeof WriteRequestSchema>;
type Call = NonNullable<Request["call"]>;
type Result = WriteResponse["result"];

/** Writes over one `Write` stream: pipelined, and far cheaper than single calls. */
export function createPipe(grpc: RawGrpc): Calls & { close(): void } {
  const pending = new Map<
    bigint,
    { resolve(result: Result): void; reject(error: unknown): void }
  >();
  const stream = grpc("Write");
  let closed = false;
  let requestId = 0n;

  const receive = async () => {
    for await (const message of stream.messages()) {
      const { requestId: id, result } = fromBinary(WriteResponseSchema, message);
      pending.get(id)?.resolve(result);
      pending.delete(id);
    }
    throw new ConnectError("the write stream ended", Code.Unavailable);
  };
  receive().catch((error: unknown) => {
    closed = true;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  });

  const send = async <K extends Call["case"]>(kind: K, value: unknown) => {
    if (closed) throw new ConnectError("the write stream ended", Code.Unavailable);
    const id = ++requestId;
    const result = await new Promise<Result>((resolve, reject) => {
      pending.set(id, { resolve, reject });
      const call = { case: kind, value } as Call;
      const request = create(WriteRequestSchema, { requestId: id, returnValues: true, call });
      stream.send(toBinary(WriteRequestSchema, request));
    });
    if (result.case === "error") {
      const { code, message } = result.value;
      throw new ConnectError(message, codeFromString(code) ?? Code.Unknown);
    }
    if (result.case !== kind) throw new Error(`a response of kind ${result.case} to a ${kind}`);
    return result.value as Extract<Result, { case: K }>["value"];
  };
  return {
    set: (request) => send("set", request),
    update: (request) => send("update", request),
    delete: (request) => send("delete", request),
    batch: (request) => send("batch", request),
    send: (request) => send("send", request),
    close() {
      closed = true;
      stream.end();
    },
  };
}
