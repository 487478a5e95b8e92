import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WriteRequestSchema, WriteResponse } from "millrace/v1";
import type { Calls, Client } from "./traffic.ts";

type Request = MessageInitShape<typeof WriteRequestSchema>;
type Call = NonNullable<Request["call"]>;
type Result = WriteResponse["result"];

/** The writing calls over one `Write` stream: pipelined, and far cheaper than a call each. */
export function createPipe(client: Client): Calls & { close(): void } {
  const pending = new Map<
    bigint,
    { resolve(result: Result): void; reject(error: unknown): void }
  >();
  const outbox: Request[] = [];
  let wake = () => {};
  let closed = false;
  let requestId = 0n;

  async function* requests(): AsyncGenerator<Request, void> {
    while (!closed || outbox.length > 0) {
      const request = outbox.shift();
      if (request !== undefined) yield request;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
  const receive = async () => {
    for await (const { requestId: id, result } of client.write(requests())) {
      pending.get(id)?.resolve(result);
      pending.delete(id);
    }
    throw new ConnectError("the stream of writes ended", Code.Unavailable);
  };
  receive().catch((error: unknown) => {
    closed = true;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  });

  const send = async <K extends Call["case"]>(kind: K, value: unknown) => {
    if (closed) throw new ConnectError("the stream of writes ended", Code.Unavailable);
    const id = ++requestId;
    const result = await new Promise<Result>((resolve, reject) => {
      pending.set(id, { resolve, reject });
      outbox.push({ requestId: id, returnValues: true, call: { case: kind, value } as Call });
      wake();
    });
    if (result.case === "error") {
      const { code, message } = result.value;
      throw new ConnectError(message, codeFromString(code) ?? Code.Unknown);
    }
    if (result.case !== kind) throw new Error(`an answer of kind ${result.case} to a ${kind}`);
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
      wake();
    },
  };
}
