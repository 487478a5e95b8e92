import type { ChangeEvent, Item } from "../../core/change.ts";
import type { OpError } from "../../core/ops.ts";
import type { Position } from "../../core/position.ts";
import type { Value } from "../../core/value.ts";
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

/*
 * Encodes the results of the handlers directly as JSON text (the proto3 JSON mapping): values are
 * JSON text already, so nothing is parsed. Default values are omitted, 64-bit integers are strings.
 * A test compares the output with that of the generated code.
 */

/** Whether 64-bit integers are plain numbers in what is being encoded. */
let arePlain = false;

/**
 * Encodes with 64-bit integers as plain numbers, for frames of sockets: all are within 2^53-1.
 *
 * @param encode Encodes a result by the functions of this file, at once.
 */
export function withPlainNumbers(encode: () => string): string {
  arePlain = true;
  try {
    return encode();
  } finally {
    arePlain = false;
  }
}

/** A SetResponse. */
export function setJson(result: Written): string {
  return object([...written(result), repeated(result)]);
}

/** An UpdateResponse. */
export function updateJson(result: Updated): string {
  const errors = list("errors", result.errors.map(opError));
  return object([...written(result), errors, repeated(result)]);
}

/** A DeleteResponse. */
export function deletedJson(result: Deleted): string {
  const { oldValue, position } = result;
  return object([
    value("oldValue", oldValue),
    position === undefined ? "" : positionMember(position),
    repeated(result),
  ]);
}

/** A GetResponse. @param withAuthor Whether the caller gets authors. */
export function itemJson(item: Item | undefined, withAuthor: boolean): string {
  return object([item === undefined ? "" : `"item":${itemObject(item, withAuthor)}`]);
}

/** A BatchResponse. */
export function batchJson(result: Batched): string {
  const { results, position } = result;
  const each = results.map((done) => {
    const content =
      done.kind === "delete"
        ? deletedJson(done.result)
        : done.kind === "update"
          ? updateJson(done.result)
          : setJson(done.result);
    return `{"${done.kind}":${content}}`;
  });
  return object([list("results", each), positionMember(position), repeated(result)]);
}

/** A ListResponse. @param withAuthor Whether the caller gets authors. */
export function listJson({ items, position, nextPageToken }: Listed, withAuthor: boolean): string {
  const objects = items.map((item) => itemObject(item, withAuthor));
  return object([
    list("items", objects),
    positionMember(position),
    text("nextPageToken", nextPageToken),
  ]);
}

/** A HistoryResponse. @param withAuthor Whether the caller gets authors. */
export function historyJson(
  { changes, oldest, head, nextPageToken }: ListedChanges,
  withAuthor: boolean,
): string {
  const objects = changes.map((change) => changeObject(change, withAuthor));
  return object([
    list("changes", objects),
    oldest === undefined ? "" : positionMember(oldest, "oldest"),
    positionMember(head, "head"),
    text("nextPageToken", nextPageToken),
  ]);
}

/** A ListGroupsResponse. */
export function groupsJson({ groups, nextPageToken }: ListedGroups): string {
  return object([texts("groups", groups), text("nextPageToken", nextPageToken)]);
}

/** A ListAllResponse. */
export function streamsJson({ streams, count, nextPageToken }: ListedStreams): string {
  const each = streams.map(({ streamName, groups }) =>
    object([text("streamName", streamName), texts("groups", groups)]),
  );
  return object([
    list("streams", each),
    integer("count", count),
    text("nextPageToken", nextPageToken),
  ]);
}

/** A message without fields, such as SendResponse. */
export const EMPTY_JSON = "{}";

function written({ oldValue, newValue, created, position }: Written): string[] {
  return [
    value("oldValue", oldValue),
    value("newValue", newValue),
    created ? '"created":true' : "",
    positionMember(position),
  ];
}

function repeated({ deduplicated }: { readonly deduplicated?: boolean | undefined }): string {
  return deduplicated === true ? '"deduplicated":true' : "";
}

function opError({ opIndex, code, message }: OpError): string {
  return object([
    opIndex === 0 ? "" : `"opIndex":${opIndex}`,
    text("code", code),
    text("message", message),
  ]);
}

function itemObject(item: Item, withAuthor: boolean): string {
  return object([
    text("itemId", item.itemId),
    value("data", item.value),
    integer("revision", item.revision),
    `"createTime":"${timeOf(item.createTimeMs)}"`,
    `"updateTime":"${timeOf(item.updateTimeMs)}"`,
    withAuthor ? text("author", item.author) : "",
  ]);
}

function changeObject(change: ChangeEvent, withAuthor: boolean): string {
  return object([
    `"type":"CHANGE_TYPE_${change.type.toUpperCase()}"`,
    text("itemId", change.itemId),
    value("data", change.value),
    positionMember(change.position),
    integer("timestamp", change.timestamp),
    withAuthor ? text("author", change.author) : "",
  ]);
}

function positionMember({ epoch, revision }: Position, name = "position"): string {
  return `"${name}":${object([text("epoch", epoch), integer("revision", revision)])}`;
}

/** A `google.protobuf.Timestamp`. */
function timeOf(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(".000Z", "Z");
}

function value(name: string, given: Value | undefined): string {
  return given === undefined ? "" : `"${name}":${given.text}`;
}

function text(name: string, given: string): string {
  return given === "" ? "" : `"${name}":${JSON.stringify(given)}`;
}

function texts(name: string, given: readonly string[]): string {
  return list(
    name,
    given.map((each) => JSON.stringify(each)),
  );
}

function integer(name: string, given: number): string {
  if (given === 0) return "";
  return arePlain ? `"${name}":${given}` : `"${name}":"${given}"`;
}

function list(name: string, elements: readonly string[]): string {
  return elements.length === 0 ? "" : `"${name}":[${elements.join(",")}]`;
}

/** @param members Empty ones are omitted. */
function object(members: readonly string[]): string {
  let content = "";
  for (const member of members)
    if (member !== "") content += content === "" ? member : `,${member}`;
  return `{${content}}`;
}
