import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  BatchResponseSchema,
  DeleteResponseSchema,
  GetResponseSchema,
  HistoryResponseSchema,
  ListAllResponseSchema,
  ListGroupsResponseSchema,
  ListResponseSchema,
  MutationResultSchema,
  SetResponseSchema,
  UpdateResponseSchema,
} from "../../../../gen/millrace/v1/stream_service_pb.ts";
import type { Item } from "../../../../src/core/change.ts";
import type { OpError } from "../../../../src/core/ops.ts";
import type { Position } from "../../../../src/core/position.ts";
import type { Value } from "../../../../src/core/value.ts";
import type {
  BatchMutationResult,
  BatchResult,
  DeleteResult,
  HistoryResult,
  ListAllResult,
  ListGroupsResult,
  ListResult,
} from "../../../../src/service/requests.ts";
import {
  changeMessage,
  itemMessage,
  opErrorMessage,
  positionMessage,
  valueMessage,
} from "./messages.ts";

/*
 * Results of the handlers as protobuf-es response messages: a second encoder, with which tests
 * compare the bytes and the JSON of the service. Absent values stay absent, so that missing and
 * null differ.
 */

interface Written {
  readonly oldValue: Value | undefined;
  readonly newValue: Value | undefined;
  readonly created: boolean;
  readonly position: Position;
}

function written(result: Written) {
  return {
    oldValue: valueMessage(result.oldValue),
    newValue: valueMessage(result.newValue),
    created: result.created,
    position: positionMessage(result.position),
  };
}

/** The response of a set. */
export function setResponse(result: Written): MessageInitShape<typeof SetResponseSchema> {
  return written(result);
}

/** The response of an update. */
export function updateResponse(
  result: Written & { readonly errors: readonly OpError[] },
): MessageInitShape<typeof UpdateResponseSchema> {
  return { ...written(result), errors: result.errors.map(opErrorMessage) };
}

/** The response of a delete. */
export function deleteResponse(
  result: DeleteResult,
): MessageInitShape<typeof DeleteResponseSchema> {
  return {
    oldValue: valueMessage(result.oldValue),
    position: result.position === undefined ? undefined : positionMessage(result.position),
  };
}

/** The response of a batch. */
export function batchResponse(result: BatchResult): MessageInitShape<typeof BatchResponseSchema> {
  return {
    results: result.results.map(mutationResult),
    position: positionMessage(result.position),
  };
}

function mutationResult(done: BatchMutationResult): MessageInitShape<typeof MutationResultSchema> {
  switch (done.kind) {
    case "set":
      return { result: { case: "set", value: setResponse(done.result) } };
    case "update":
      return { result: { case: "update", value: updateResponse(done.result) } };
    case "delete":
      return { result: { case: "delete", value: deleteResponse(done.result) } };
  }
}

/** The response of a get. @param withAuthor Whether the caller gets authors. */
export function getResponse(
  item: Item | undefined,
  withAuthor: boolean,
): MessageInitShape<typeof GetResponseSchema> {
  return { item: item === undefined ? undefined : itemMessage(item, withAuthor) };
}

/** The response of a list. @param withAuthor Whether the caller gets authors. */
export function listResponse(
  result: ListResult,
  withAuthor: boolean,
): MessageInitShape<typeof ListResponseSchema> {
  const { nextPageToken } = result;
  return {
    items: result.items.map((item) => itemMessage(item, withAuthor)),
    position: positionMessage(result.position),
    nextPageToken,
  };
}

/** The response of a history. @param withAuthor Whether the caller gets authors. */
export function historyResponse(
  { changes, oldest, head, nextPageToken }: HistoryResult,
  withAuthor: boolean,
): MessageInitShape<typeof HistoryResponseSchema> {
  return {
    changes: changes.map((change) => changeMessage(change, withAuthor)),
    oldest: oldest === undefined ? undefined : positionMessage(oldest),
    head: positionMessage(head),
    nextPageToken,
  };
}

/** The response of a list of groups. */
export function listGroupsResponse(
  result: ListGroupsResult,
): MessageInitShape<typeof ListGroupsResponseSchema> {
  return { groups: [...result.groups], nextPageToken: result.nextPageToken };
}

/** The response of a list of all streams. */
export function listAllResponse(
  result: ListAllResult,
): MessageInitShape<typeof ListAllResponseSchema> {
  return {
    streams: result.streams.map(({ streamName, groups }) => ({ streamName, groups: [...groups] })),
    count: BigInt(result.count),
    nextPageToken: result.nextPageToken,
  };
}
