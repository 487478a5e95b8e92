import { StreamError } from "../../core/errors.ts";
import type { UpdateOp } from "../../core/ops.ts";
import { Value } from "../../core/value.ts";
import type { UpdateOp as UpdateOpMessage } from "../../../gen/millrace/v1/types_pb.ts";
import type { Decoded } from "./decoded.ts";

const NULL = Value.of(null);

/**
 * Converts decoded operations to those of the reducer.
 *
 * @param field The name of the list in errors.
 * @throws StreamError OP_MALFORMED that names the operation and its field.
 */
export function toUpdateOps(ops: readonly Decoded<UpdateOpMessage>[], field: string): UpdateOp[] {
  return ops.map(({ op }, index) => toUpdateOp(op, `${field}[${index}]`));
}

function toUpdateOp(op: Decoded<UpdateOpMessage>["op"], field: string): UpdateOp {
  switch (op.case) {
    case "set":
      return { type: "set", path: op.value.path, value: op.value.value ?? NULL };
    case "merge":
    case "append":
      return {
        type: op.case,
        path: op.value.path,
        value: present(op.value.value, `${field}.${op.case}.value`, "any JSON value"),
      };
    case "increment":
    case "decrement":
      return {
        type: op.case,
        path: op.value.path,
        by: present(op.value.by, `${field}.${op.case}.by`, "an integer within ±(2^53-1)"),
      };
    case "remove":
      return { type: "remove", path: op.value.path };
    case undefined:
      throw malformed(
        `${field} is empty or of an unknown kind; it may be set, merge, increment, decrement, append or remove.`,
        field,
      );
  }
}

function present<T>(value: T | undefined, field: string, may: string): T {
  if (value === undefined) throw missing(field, may);
  return value;
}

function missing(field: string, may: string): StreamError {
  return malformed(`${field} is missing; it may be ${may}.`, field);
}

function malformed(sentence: string, field: string): StreamError {
  return new StreamError("OP_MALFORMED", sentence, { metadata: { field } });
}
