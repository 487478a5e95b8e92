import type { Delta } from "../../core/delta.ts";
import type { UpdateOp } from "../../core/ops.ts";
import { byteLengthOf, createRecent } from "./encode-once.ts";
import { ReverseWriter } from "../protobuf/reverse-writer.ts";
import { encodeValue } from "../value/codec.ts";

/** Number of the field `ops` in a ChangeFrame. */
const OPS = 7;
// Field numbers of UpdateOp. A test compares the output with that of the generated code.
const OP = { set: 1, merge: 2, increment: 3, decrement: 4, append: 5, remove: 6 } as const;

const writer = new ReverseWriter();

/**
 * The steps of a delta as the encoded field `ops` of a ChangeFrame, encoded once for all current
 * subscribers: do not modify the bytes. Not attached to the delta, which may live in a log.
 */
export const encodeOps: (delta: Delta) => Uint8Array = createRecent(({ ops }: Delta) => {
  writer.start();
  // Fields are written last first.
  for (let i = ops.length - 1; i >= 0; i--) writeOp(ops[i] as UpdateOp);
  return writer.finish();
}, byteLengthOf);

function writeOp(op: UpdateOp): void {
  const since = writer.end;
  if ("value" in op) writer.bytes(2, encodeValue(op.value));
  if ("by" in op) writer.signed(2, op.by);
  if (typeof op.path === "string") writer.string(1, op.path);
  else for (let i = op.path.length - 1; i >= 0; i--) writer.string(1, op.path[i] as string, true);
  writer.message(OP[op.type], since);
  writer.message(OPS, since);
}
