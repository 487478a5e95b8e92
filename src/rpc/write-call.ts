import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { WriteRequest } from "../../gen/millrace/v1/stream_service_pb.ts";
import { StreamError } from "../core/errors.ts";
import type { Handlers } from "../service/handlers.ts";
import type { Decoded } from "../wire/decoded.ts";
import type { WriteResult } from "../wire/response-bytes.ts";
import { toBatchRequest, toUpdateRequest } from "./calls.ts";
import { bodyInvalid } from "./request-body.ts";

/**
 * Performs one request of a stream of writes. The handler is called before anything is awaited, so that
 * the store sees requests in the order sent.
 */
export async function performWrite(
  handlers: Handlers,
  { call, returnValues }: Decoded<WriteRequest>,
): Promise<WriteResult> {
  const slim = returnValues ? {} : { oldValue: undefined, newValue: undefined };
  switch (call.case) {
    case "set":
      return { kind: "set", result: { ...(await handlers.set(call.value)), ...slim } };
    case "update": {
      const done = await handlers.update(toUpdateRequest(call.value));
      return { kind: "update", result: { ...done, ...slim } };
    }
    case "delete":
      return { kind: "delete", result: { ...(await handlers.delete(call.value)), ...slim } };
    case "send":
      await handlers.send(call.value);
      return { kind: "send" };
    case "batch": {
      const batch = toBatchRequest(call.value);
      const wanted = returnValues || batch.returnValues;
      return { kind: "batch", result: await handlers.batch({ ...batch, returnValues: wanted }) };
    }
    case undefined:
      throw bodyInvalid("call is missing; it may be set, update, delete, send or batch.");
  }
}

/** What a request came to that failed. */
export function failedWrite(error: unknown): WriteResult {
  return { kind: "error", error: StreamError.from(error) };
}

/** The request id of a message that could not be decoded as a whole; 0 when there is none to be found. */
export function requestIdOfBinary(bytes: Uint8Array): bigint {
  try {
    const reader = new BinaryReader(bytes);
    let id = 0n;
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1 && wireType === WireType.Varint) id = BigInt(reader.uint64());
      else reader.skip(wireType, field);
    }
    return id;
  } catch {
    return 0n;
  }
}
