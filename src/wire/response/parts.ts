import { NO_AUTHOR } from "../../core/author.ts";
import { ChangeType } from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { ChangeEvent, Item } from "../../core/change.ts";
import type { Position } from "../../core/position.ts";
import type { ReverseWriter } from "../protobuf/reverse-writer.ts";
import { encodeValue } from "../value/codec.ts";

/* Messages that are parts of others. Fields are written last first, see ReverseWriter. */

/** An `Item`. @param withAuthor Whether its reader gets authors. */
export function writeItem(
  writer: ReverseWriter,
  field: number,
  item: Item,
  withAuthor: boolean,
): void {
  const since = writer.end;
  if (withAuthor && item.author !== NO_AUTHOR) writer.string(6, item.author);
  writeTime(writer, 5, item.updateTimeMs);
  writeTime(writer, 4, item.createTimeMs);
  writer.integer(3, item.revision);
  writer.bytes(2, encodeValue(item.value));
  writer.string(1, item.itemId);
  writer.message(field, since);
}

/** The fields of a `ChangeFrame` with a whole value. @param withAuthor As of writeItem. */
export function writeChange(writer: ReverseWriter, change: ChangeEvent, withAuthor: boolean): void {
  if (withAuthor) writer.string(6, change.author);
  writer.integer(5, change.timestamp);
  writePosition(writer, 4, change.position);
  writer.bytes(3, encodeValue(change.value));
  writer.string(2, change.itemId);
  writer.integer(1, CHANGE_TYPES[change.type]);
}

const CHANGE_TYPES: Record<ChangeEvent["type"], ChangeType> = {
  create: ChangeType.CREATE,
  update: ChangeType.UPDATE,
  delete: ChangeType.DELETE,
};

/** A `Position`. */
export function writePosition(
  writer: ReverseWriter,
  field: number,
  { epoch, revision }: Position,
): void {
  const since = writer.end;
  writer.integer(2, revision);
  writer.string(1, epoch);
  writer.message(field, since);
}

/** A `google.protobuf.Timestamp`. */
function writeTime(writer: ReverseWriter, field: number, timeMs: number): void {
  const since = writer.end;
  const seconds = Math.floor(timeMs / 1000);
  writer.integer(2, (timeMs - seconds * 1000) * 1_000_000);
  writer.integer(1, seconds);
  writer.message(field, since);
}
