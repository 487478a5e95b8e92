import type { ChangeEvent, Item } from "../../core/change.ts";
import type { StreamError } from "../../core/errors.ts";
import type { OpError } from "../../core/ops.ts";
import type {
  Batched,
  Deleted,
  Listed,
  ListedChanges,
  ListedGroups,
  ListedStreams,
  Updated,
  Written,
} from "./types.ts";
import { writeChange, writeItem, writePosition } from "./parts.ts";
import { ReverseWriter } from "../protobuf/reverse-writer.ts";
import { encodeValue } from "../value/codec.ts";

/*
 * Encodes the results of the handlers directly as messages with the gRPC prefix. Fields are written
 * last first, see ReverseWriter. The field numbers are those of proto/millrace/v1; a test compares
 * the output with that of the generated code.
 */

/** The result of one request of a stream of writes. */
export type WriteResult =
  | { readonly kind: "set"; readonly result: Written }
  | { readonly kind: "update"; readonly result: Updated }
  | { readonly kind: "delete"; readonly result: Deleted }
  | { readonly kind: "send" }
  | { readonly kind: "batch"; readonly result: Batched }
  | { readonly kind: "error"; readonly error: StreamError };

const writer = new ReverseWriter();

/** A SetResponse. */
export function setEnvelope(result: Written): Uint8Array {
  writer.start();
  writeWritten(result);
  return writer.finishEnvelope();
}

/** An UpdateResponse. */
export function updateEnvelope(result: Updated): Uint8Array {
  writer.start();
  writeUpdated(result);
  return writer.finishEnvelope();
}

/** A DeleteResponse. */
export function deletedEnvelope(result: Deleted): Uint8Array {
  writer.start();
  writeDeleted(result);
  return writer.finishEnvelope();
}

/** A GetResponse. @param withAuthor Whether the caller gets authors. */
export function itemEnvelope(item: Item | undefined, withAuthor: boolean): Uint8Array {
  writer.start();
  if (item !== undefined) writeItem(writer, 1, item, withAuthor);
  return writer.finishEnvelope();
}

/** A BatchResponse. */
export function batchEnvelope(result: Batched): Uint8Array {
  writer.start();
  writeBatched(result);
  return writer.finishEnvelope();
}

/** A ListResponse. @param withAuthor Whether the caller gets authors. */
export function listEnvelope(page: Listed, withAuthor: boolean): Uint8Array {
  const { items, position, nextPageToken } = page;
  writer.start();
  writer.string(3, nextPageToken);
  writePosition(writer, 2, position);
  for (let i = items.length - 1; i >= 0; i--) writeItem(writer, 1, items[i] as Item, withAuthor);
  return writer.finishEnvelope();
}

/** A HistoryResponse. @param withAuthor Whether the caller gets authors. */
export function historyEnvelope(page: ListedChanges, withAuthor: boolean): Uint8Array {
  const { changes, oldest, head, nextPageToken } = page;
  writer.start();
  writer.string(4, nextPageToken);
  writePosition(writer, 3, head);
  if (oldest !== undefined) writePosition(writer, 2, oldest);
  for (let i = changes.length - 1; i >= 0; i--) {
    const since = writer.end;
    writeChange(writer, changes[i] as ChangeEvent, withAuthor);
    writer.message(1, since);
  }
  return writer.finishEnvelope();
}

/** A ListGroupsResponse. */
export function groupsEnvelope({ groups, nextPageToken }: ListedGroups): Uint8Array {
  writer.start();
  writer.string(2, nextPageToken);
  writeStrings(1, groups);
  return writer.finishEnvelope();
}

/** A ListAllResponse. */
export function streamsEnvelope({ streams, count, nextPageToken }: ListedStreams): Uint8Array {
  writer.start();
  writer.string(3, nextPageToken);
  writer.integer(2, count);
  for (const { streamName, groups } of streams.toReversed()) {
    const since = writer.end;
    writeStrings(2, groups);
    writer.string(1, streamName);
    writer.message(1, since);
  }
  return writer.finishEnvelope();
}

/** A message without fields, such as SendResponse. */
export const EMPTY_ENVELOPE: Uint8Array = new Uint8Array(5);

/** A WriteResponse. */
export function writeEnvelope(requestId: number | bigint, done: WriteResult): Uint8Array {
  writer.start();
  switch (done.kind) {
    case "set":
      writeWritten(done.result);
      writer.message(2, 0);
      break;
    case "update":
      writeUpdated(done.result);
      writer.message(3, 0);
      break;
    case "delete":
      writeDeleted(done.result);
      writer.message(4, 0);
      break;
    case "send":
      writer.message(5, 0);
      break;
    case "batch":
      writeBatched(done.result);
      writer.message(6, 0);
      break;
    case "error":
      writeError(done.error);
      writer.message(7, 0);
  }
  if (typeof requestId === "bigint") writer.bigInteger(1, requestId);
  else writer.integer(1, requestId);
  return writer.finishEnvelope();
}

function writeStrings(field: number, texts: readonly string[]): void {
  for (const text of texts.toReversed()) writer.string(field, text, true);
}

function writeUpdated(result: Updated): void {
  if (result.deduplicated === true) writer.bool(6, true);
  for (let i = result.errors.length - 1; i >= 0; i--) writeOpError(result.errors[i] as OpError);
  writeCommon(result);
}

function writeWritten(result: Written): void {
  if (result.deduplicated === true) writer.bool(5, true);
  writeCommon(result);
}

/** The fields that the results of a set and of an update share. */
function writeCommon({ oldValue, newValue, created, position }: Written): void {
  writePosition(writer, 4, position);
  writer.bool(3, created);
  if (newValue !== undefined) writer.bytes(2, encodeValue(newValue));
  if (oldValue !== undefined) writer.bytes(1, encodeValue(oldValue));
}

function writeOpError({ opIndex, code, message }: OpError): void {
  const since = writer.end;
  writer.string(3, message);
  writer.string(2, code);
  writer.integer(1, opIndex);
  writer.message(5, since);
}

function writeDeleted({ oldValue, position, deduplicated }: Deleted): void {
  if (deduplicated === true) writer.bool(3, true);
  if (position !== undefined) writePosition(writer, 2, position);
  if (oldValue !== undefined) writer.bytes(1, encodeValue(oldValue));
}

function writeBatched({ results, position, deduplicated }: Batched): void {
  if (deduplicated === true) writer.bool(3, true);
  writePosition(writer, 2, position);
  for (let i = results.length - 1; i >= 0; i--) {
    const done = results[i] as Batched["results"][number];
    const since = writer.end;
    if (done.kind === "delete") writeDeleted(done.result);
    else if (done.kind === "update") writeUpdated(done.result);
    else writeWritten(done.result);
    writer.message(done.kind === "set" ? 1 : done.kind === "update" ? 2 : 3, since);
    writer.message(1, since);
  }
}

function writeError({ code, reason, message, metadata }: StreamError): void {
  for (const [key, value] of Object.entries(metadata).toReversed()) {
    const since = writer.end;
    writer.string(2, value);
    writer.string(1, key);
    writer.message(4, since);
  }
  writer.string(3, message);
  writer.string(2, reason);
  writer.string(1, code);
}
