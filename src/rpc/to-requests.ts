import type {
  BatchRequest as BatchMessage,
  Mutation as MutationMessage,
  UpdateRequest as UpdateMessage,
} from "../../gen/millrace/v1/stream_service_pb.ts";
import { StreamError } from "../core/errors.ts";
import type { BatchMutation, BatchRequest, UpdateRequest } from "../service/requests.ts";
import type { Decoded } from "../wire/request/decoded.ts";
import { toUpdateOps } from "../wire/request/update-ops.ts";

/* Converts decoded requests to those of the handlers, where the two differ. */

/** Converts an update. @throws StreamError OP_MALFORMED */
export function toUpdateRequest(message: Decoded<UpdateMessage>): UpdateRequest {
  return { ...message, ops: toUpdateOps(message.ops, "ops") };
}

/**
 * Converts a batch.
 *
 * @throws StreamError OP_MALFORMED, REQUEST_INVALID, with the mutation's `index`
 */
export function toBatchRequest(message: Decoded<BatchMessage>): BatchRequest {
  return { ...message, mutations: message.mutations.map(toBatchMutation) };
}

function toBatchMutation({ mutation }: Decoded<MutationMessage>, index: number): BatchMutation {
  const field = `mutations[${index}]`;
  switch (mutation.case) {
    case "set":
      return { kind: "set", ...mutation.value };
    case "update":
      try {
        const ops = toUpdateOps(mutation.value.ops, `${field}.update.ops`);
        return { kind: "update", ...mutation.value, ops };
      } catch (error) {
        throw StreamError.from(error).with({ index: String(index) });
      }
    case "delete":
      return { kind: "delete", ...mutation.value };
    case undefined:
      throw new StreamError(
        "REQUEST_INVALID",
        `${field} is empty or of an unknown kind; it may be set, update or delete.`,
        {
          metadata: { field, index: String(index) },
        },
      );
  }
}
