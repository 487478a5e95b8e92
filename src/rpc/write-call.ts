import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { WriteRequest } from "../../gen/millrace/v1/stream_service_pb.ts";
import { StreamError } from "../core/errors.ts";
import type { Caller } from "../rights/caller.ts";
import type { Handlers } from "../service/handlers.ts";
import type { Decoded } from "../wire/request/decoded.ts";
import type { WriteResult } from "../wire/response/binary.ts";
import type { Deleted, Updated, Written } from "../wire/response/types.ts";
import { toBatchRequest, toUpdateRequest } from "./to-requests.ts";
import { bodyInvalid } from "./envelope.ts";

/**
 * Performs one request of a stream of writes. The handler is called before this returns, so that
 * the store sees requests in the order sent.
 *
 * @throws StreamError when the request is malformed; all other failures reject.
 */
export function performWrite(
  handlers: Handlers,
  { call, returnValues }: Decoded<WriteRequest>,
  caller: Caller,
): Promise<WriteResult> {
  // Not async: this is a hot path, and each layer of promises around a call costs.
  switch (call.case) {
    case "set":
      return handlers
        .set(call.value, caller)
        .then((full) => ({ kind: "set", result: returnValues ? full : withoutValues(full) }));
    case "update":
      return handlers
        .update(toUpdateRequest(call.value), caller)
        .then((full) => ({ kind: "update", result: returnValues ? full : withoutValues(full) }));
    case "delete":
      return handlers
        .delete(call.value, caller)
        .then((full) => ({ kind: "delete", result: returnValues ? full : withoutValues(full) }));
    case "send":
      return handlers.send(call.value, caller).then(() => ({ kind: "send" }));
    case "batch": {
      const batch = toBatchRequest(call.value);
      const wanted = returnValues || batch.returnValues;
      return handlers
        .batch({ ...batch, returnValues: wanted }, caller)
        .then((result) => ({ kind: "batch", result }));
    }
    case undefined:
      throw bodyInvalid(
        "call is missing or of an unknown kind; it may be set, update, delete, send or batch.",
      );
  }
}

/** The result without its values, which the caller did not request. */
function withoutValues<R extends Written | Updated | Deleted>(result: R): R {
  return { ...result, oldValue: undefined, newValue: undefined };
}

/** The result of a failed request. */
export function failedWrite(error: unknown): WriteResult {
  return { kind: "error", error: StreamError.from(error) };
}

/** The request id of a message that could not be decoded; 0 when there is none. */
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
