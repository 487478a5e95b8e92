import { type JsonValue, type MessageInitShape, create, fromJson } from "@bufbuild/protobuf";
import { type Value as ValueMessage, ValueSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ChangeEvent, Item } from "../../../../src/core/change.ts";
import type { Frame } from "../../../../src/core/frame.ts";
import type { OpError, UpdateOp } from "../../../../src/core/ops.ts";
import type { Position } from "../../../../src/core/position.ts";
import type { Value } from "../../../../src/core/value.ts";
import {
  type ChangeFrameSchema,
  ChangeType,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from "../../../../gen/millrace/v1/stream_service_pb.ts";
import type {
  ItemSchema,
  PositionSchema,
  UpdateErrorSchema,
  UpdateOpSchema,
} from "../../../../gen/millrace/v1/types_pb.ts";

/* Parts of responses as protobuf-es init shapes, built without the encoders of the service. */

/** A value as a message. */
function valueToMessage(value: Value): ValueMessage {
  return fromJson(ValueSchema, value.json() as JsonValue);
}

/** A value that may be absent. */
export function valueMessage(value: Value | undefined) {
  return value === undefined ? undefined : valueToMessage(value);
}

/** A position. */
export function positionMessage({
  epoch,
  revision,
}: Position): MessageInitShape<typeof PositionSchema> {
  return { epoch, revision: BigInt(revision) };
}

/** An item. @param withAuthor Whether its reader gets authors. */
export function itemMessage(item: Item, withAuthor: boolean): MessageInitShape<typeof ItemSchema> {
  return {
    itemId: item.itemId,
    data: valueToMessage(item.value),
    revision: BigInt(item.revision),
    createTime: timestampFromMs(item.createTimeMs),
    updateTime: timestampFromMs(item.updateTimeMs),
    author: withAuthor ? item.author : "",
  };
}

/** An operation that was skipped. */
export function opErrorMessage({
  opIndex,
  code,
  message,
}: OpError): MessageInitShape<typeof UpdateErrorSchema> {
  return { opIndex, code, message };
}

function opMessage(op: UpdateOp): MessageInitShape<typeof UpdateOpSchema> {
  switch (op.type) {
    case "set":
      return { op: { case: "set", value: { path: op.path, value: valueToMessage(op.value) } } };
    case "merge":
    case "append":
      return {
        op: { case: op.type, value: { path: [...op.path], value: valueToMessage(op.value) } },
      };
    case "increment":
    case "decrement":
      return { op: { case: op.type, value: { path: op.path, by: BigInt(op.by) } } };
    case "remove":
      return { op: { case: "remove", value: { path: op.path } } };
  }
}

/** A change. @param withAuthor Whether its reader gets authors. */
export function changeMessage(
  change: ChangeEvent,
  withAuthor: boolean,
): MessageInitShape<typeof ChangeFrameSchema> {
  return {
    type: CHANGE_TYPES[change.type],
    itemId: change.itemId,
    data: valueToMessage(change.value),
    position: positionMessage(change.position),
    timestamp: BigInt(change.timestamp),
    author: withAuthor ? change.author : "",
  };
}

/** A frame. @param withAuthor Whether its reader gets authors. */
export function frameMessage(frame: Frame, withAuthor: boolean): SubscribeResponse {
  return create(SubscribeResponseSchema, { frame: frameCase(frame, withAuthor) });
}

function frameCase(
  frame: Frame,
  withAuthor: boolean,
): NonNullable<MessageInitShape<typeof SubscribeResponseSchema>["frame"]> {
  switch (frame.kind) {
    case "sync": {
      const { first, last, timestamp } = frame;
      const items = frame.items.map((item) => itemMessage(item, withAuthor));
      const position = positionMessage(frame.position);
      return {
        case: "sync",
        value: { items, position, first, last, timestamp: BigInt(timestamp) },
      };
    }
    case "change":
      return {
        case: "change",
        value: changeMessage(frame, withAuthor),
      };
    case "delta":
      return {
        case: "change",
        value: {
          type: ChangeType.UPDATE,
          itemId: frame.itemId,
          position: positionMessage(frame.position),
          timestamp: BigInt(frame.timestamp),
          author: withAuthor ? frame.author : "",
          ops: frame.delta.ops.map(opMessage),
          baseRevision: BigInt(frame.delta.baseRevision),
        },
      };
    case "event": {
      const { type, itemId, timestamp } = frame;
      const value = {
        type,
        data: valueToMessage(frame.value),
        timestamp: BigInt(timestamp),
        author: withAuthor ? frame.author : "",
      };
      return { case: "event", value: itemId === undefined ? value : { ...value, itemId } };
    }
    case "heartbeat":
      return { case: "heartbeat", value: { position: positionMessage(frame.position) } };
    case "resumed":
      return {
        case: "resumed",
        value: { position: positionMessage(frame.position), head: positionMessage(frame.head) },
      };
  }
}

const CHANGE_TYPES: Record<ChangeEvent["type"], ChangeType> = {
  create: ChangeType.CREATE,
  update: ChangeType.UPDATE,
  delete: ChangeType.DELETE,
};
