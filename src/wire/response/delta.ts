import { ChangeType } from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { DeltaEvent } from "../../core/change.ts";
import type { Delta } from "../../core/delta.ts";
import type { UpdateOp } from "../../core/ops.ts";
import { byteLengthOf, createRecent } from "./encode-once.ts";
import { ReverseWriter } from "../protobuf/reverse-writer.ts";
import { writePosition } from "./parts.ts";
import { encodeValue } from "../value/codec.ts";

/** Number of the field `ops` in a ChangeFrame. */
const OPS = 7;
// Field numbers of UpdateOp. A test compares the output with that of the generated code.
const OP = { set: 1, merge: 2, increment: 3, decrement: 4, append: 5, remove: 6 } as const;

const opsWriter = new ReverseWriter();

/** The fields of a `ChangeFrame` with steps in place of the value. @param withAuthor As of writeItem. */
export function writeDelta(writer: ReverseWriter, event: DeltaEvent, withAuthor: boolean): void {
  writer.integer(8, event.delta.baseRevision);
  writer.raw(encodeOps(event.delta));
  if (withAuthor) writer.string(6, event.author);
  writer.integer(5, event.timestamp);
  writePosition(writer, 4, event.position);
  writer.string(2, event.itemId);
  writer.integer(1, ChangeType.UPDATE);
}

/**
 * The steps of a delta as the encoded field `ops` of a ChangeFrame, encoded once for all current
 * subscribers: do not modify the bytes. Not attached to the delta, which may live in a log.
 */
const encodeOps: (delta: Delta) => Uint8Array = createRecent(({ ops }: Delta) => {
  opsWriter.start();
  // Fields are written last first.
  for (let i = ops.length - 1; i >= 0; i--) writeOp(ops[i] as UpdateOp);
  return opsWriter.finish();
}, byteLengthOf);

function writeOp(op: UpdateOp): void {
  const since = opsWriter.end;
  if ("value" in op) opsWriter.bytes(2, encodeValue(op.value));
  if ("by" in op) opsWriter.signed(2, op.by);
  if (typeof op.path === "string") opsWriter.string(1, op.path);
  else
    for (let i = op.path.length - 1; i >= 0; i--) opsWriter.string(1, op.path[i] as string, true);
  opsWriter.message(OP[op.type], since);
  opsWriter.message(OPS, since);
}
