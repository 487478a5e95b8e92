import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import {
  durationFromMs,
  timestampDate,
  type Value as ValueMessage,
  ValueSchema,
} from "@bufbuild/protobuf/wkt";
import type {
  Change,
  Expectations,
  Item,
  Json,
  Mutation,
  MutationResult,
  OpError,
  Position,
  SetResult,
  StreamDelta,
  StreamFrame,
  TimeToLiveMs,
  UpdateStep,
} from "millrace";
import {
  ChangeCause,
  type ChangeFrame,
  ChangeType,
  type Item as ItemMessage,
  type MutationResult as MutationResultMessage,
  type Position as PositionMessage,
  type SetResponse,
  type SubscribeResponse,
  type UpdateError,
  type UpdateOp,
  type UpdateResponse,
} from "millrace/v1";

/* Conversion between protobuf messages and the types of the library. */

/** A value as a message. */
export function toValue(json: Json): ValueMessage {
  return fromJson(ValueSchema, json as JsonValue);
}

/** The JSON of a required value. */
function json(value: ValueMessage | undefined): Json {
  if (value === undefined) throw new Error("a value is missing in a response");
  return toJson(ValueSchema, value) as Json;
}

/** The JSON of an optional value. */
export function optionalJson(value: ValueMessage | undefined): Json | undefined {
  return value === undefined ? undefined : json(value);
}

/**
 * A request with its expectations and its lifetime in message form: 64-bit numbers as bigints,
 * absent ones omitted.
 */
export function expecting<T extends Expectations & TimeToLiveMs>({
  expectedRevision,
  expectedEpoch,
  ttlMs,
  ...request
}: T) {
  return {
    ...request,
    ...(ttlMs === undefined ? {} : { ttl: durationFromMs(ttlMs) }),
    ...(expectedRevision === undefined ? {} : { expectedRevision: BigInt(expectedRevision) }),
    ...(expectedEpoch === undefined ? {} : { expectedEpoch }),
  };
}

/** A position as a message. */
export function toPosition({ epoch, revision }: Position) {
  return { epoch, revision: BigInt(revision) };
}

/** A required position. */
export function position(message: PositionMessage | undefined): Position {
  if (message === undefined) throw new Error("a position is missing in a response");
  return { epoch: message.epoch, revision: Number(message.revision) };
}

/** One step of an update as a message. */
export function toOp(step: UpdateStep) {
  switch (step.type) {
    case "set":
      return {
        op: {
          case: "set" as const,
          value: { path: step.path, value: toValue(step.value ?? null) },
        },
      };
    case "merge":
    case "append": {
      const path =
        typeof step.path === "string" ? (step.path === "" ? [] : [step.path]) : (step.path ?? []);
      return { op: { case: step.type, value: { path: [...path], value: toValue(step.value) } } };
    }
    case "increment":
    case "decrement":
      return { op: { case: step.type, value: { path: step.path, by: BigInt(step.by) } } };
    case "remove":
      return { op: { case: "remove" as const, value: { path: step.path } } };
  }
}

/** One step of an update. */
export function step({ op }: UpdateOp): UpdateStep {
  switch (op.case) {
    case "set":
      return { type: "set", path: op.value.path, value: json(op.value.value) };
    case "merge":
    case "append":
      return { type: op.case, path: op.value.path, value: json(op.value.value) };
    case "increment":
    case "decrement":
      return { type: op.case, path: op.value.path, by: Number(op.value.by) };
    case "remove":
      return { type: "remove", path: op.value.path };
    case undefined:
      throw new Error("a step is empty");
  }
}

/** One change of a batch as a message. */
export function toMutation(mutation: Mutation) {
  if ("set" in mutation) {
    const value = { ...expecting(mutation.set), data: toValue(mutation.set.data) };
    return { mutation: { case: "set" as const, value } };
  }
  if ("update" in mutation) {
    const value = { ...expecting(mutation.update), ops: mutation.update.ops.map(toOp) };
    return { mutation: { case: "update" as const, value } };
  }
  return { mutation: { case: "delete" as const, value: expecting(mutation.delete) } };
}

/** The result of a set or an update. */
export function written(done: SetResponse | UpdateResponse): SetResult {
  return {
    oldValue: optionalJson(done.oldValue),
    // Absent for callers that may not read; then a test that reads it fails.
    newValue: optionalJson(done.newValue),
    created: done.created,
    position: position(done.position),
    ...repetition(done),
  };
}

/** What a response says of a repetition. */
export function repetition({ deduplicated }: { readonly deduplicated: boolean }) {
  return deduplicated ? { deduplicated } : {};
}

/** A step that was skipped. */
export function opError({ opIndex, code, message }: UpdateError): OpError {
  return { opIndex, code, message };
}

/** The result of one change of a batch. */
export function mutationResult({ result }: MutationResultMessage): MutationResult {
  if (result.case === undefined) throw new Error("a result is missing in a response");
  const { value } = result;
  return {
    kind: result.case,
    oldValue: optionalJson(value.oldValue),
    newValue: "newValue" in value ? optionalJson(value.newValue) : undefined,
    position: value.position === undefined ? undefined : position(value.position),
    errors: "errors" in value ? value.errors.map(opError) : [],
  };
}

/** An item. */
export function item(message: ItemMessage): Item {
  const { createTime, updateTime, expireTime } = message;
  if (createTime === undefined || updateTime === undefined)
    throw new Error("an item has no times in a response");
  return {
    itemId: message.itemId,
    data: json(message.data),
    revision: Number(message.revision),
    createTime: timestampDate(createTime),
    updateTime: timestampDate(updateTime),
    author: message.author,
    expireTime: expireTime === undefined ? undefined : timestampDate(expireTime),
  };
}

const CHANGE_TYPES = {
  [ChangeType.UNSPECIFIED]: undefined,
  [ChangeType.CREATE]: "create",
  [ChangeType.UPDATE]: "update",
  [ChangeType.DELETE]: "delete",
} as const;

const CAUSES = {
  [ChangeCause.UNSPECIFIED]: undefined,
  [ChangeCause.EXPIRED]: "expired",
  [ChangeCause.DISCONNECTED]: "disconnected",
  [ChangeCause.EVICTED]: "evicted",
} as const;

/** A change with a whole value. */
export function change(message: ChangeFrame): Change {
  const type = CHANGE_TYPES[message.type];
  if (type === undefined) throw new Error("a change has no type");
  const { itemId, data, timestamp, author } = message;
  return {
    kind: "change",
    type,
    itemId,
    data: json(data),
    position: position(message.position),
    timestamp: Number(timestamp),
    author,
    cause: CAUSES[message.cause],
  };
}

/** A frame. */
export function frame({ frame }: SubscribeResponse): StreamFrame | StreamDelta {
  switch (frame.case) {
    case "sync": {
      const { items, first, last, timestamp, truncated, olderPageToken } = frame.value;
      return {
        kind: "sync",
        items: items.map(item),
        position: position(frame.value.position),
        first,
        last,
        timestamp: Number(timestamp),
        truncated,
        olderPageToken: olderPageToken || undefined,
      };
    }
    case "change": {
      const { type, itemId, data, author, ops, baseRevision } = frame.value;
      if (baseRevision === 0n) return change(frame.value);
      if (type !== ChangeType.UPDATE || data !== undefined)
        throw new Error("a delta with data, or of no update");
      return {
        kind: "change",
        type: "update",
        itemId,
        ops: ops.map(step),
        baseRevision: Number(baseRevision),
        position: position(frame.value.position),
        timestamp: Number(frame.value.timestamp),
        author,
      };
    }
    case "event": {
      const { type, itemId, data, timestamp, author } = frame.value;
      return {
        kind: "event",
        type,
        itemId,
        data: json(data),
        timestamp: Number(timestamp),
        author,
      };
    }
    case "heartbeat":
      return { kind: "heartbeat", position: position(frame.value.position) };
    case "resumed": {
      const { head } = frame.value;
      return { kind: "resumed", position: position(frame.value.position), head: position(head) };
    }
    case undefined:
      throw new Error("a frame is empty");
  }
}
