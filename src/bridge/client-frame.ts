import { isRecord } from "../core/is-record.ts";
import { StreamError } from "../core/errors.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { Target } from "./target.ts";
import { parseNested } from "../core/nesting.ts";

/** What a client asks for. */
export type ClientFrame = JoinFrame | LeaveFrame;

/** Starts a subscription, or replaces the one of the same id. */
export interface JoinFrame extends Target {
  readonly type: "join";
  readonly subscriptionId: string;
  /** Position up to which the client knows the group. */
  readonly resume: Position | undefined;
  /** Whether it wants heartbeats. */
  readonly heartbeat: boolean;
  /** Whether it takes snapshots in parts. */
  readonly parts: boolean;
}

/** Ends a subscription of this socket. */
export interface LeaveFrame {
  readonly type: "leave";
  readonly subscriptionId: string;
}

/**
 * Reads a client's frame. Unknown fields are ignored; names are checked later, by the service.
 *
 * @throws StreamError REQUEST_INVALID naming the field and what it may be; its metadata has the
 *   `subscriptionId` of a join that has one.
 */
export function readClientFrame(json: string): ClientFrame {
  let frame: unknown;
  try {
    frame = parseNested(json);
  } catch {
    throw invalid("The frame", "is not JSON", "{type, data}");
  }
  if (!isRecord(frame)) throw invalid("The frame", "is not an object", "{type, data}");
  const { type, data } = frame;
  if (type !== "join" && type !== "leave") throw invalid("type", "is unknown", "join or leave");
  if (!isRecord(data))
    throw invalid("data", "is not an object", "{subscriptionId, streamName, groupId, id}");
  const { subscriptionId } = data;
  if (
    typeof subscriptionId !== "string" ||
    subscriptionId === "" ||
    subscriptionId.length > MAX_NAME_BYTES
  ) {
    throw invalid(
      "subscriptionId",
      "is not an id",
      `a string of 1 to ${MAX_NAME_BYTES} characters`,
    );
  }
  if (type === "leave") return { type, subscriptionId };
  try {
    return readJoin(subscriptionId, data);
  } catch (error) {
    throw StreamError.from(error).with({ subscriptionId });
  }
}

function readJoin(subscriptionId: string, data: Record<string, unknown>): JoinFrame {
  return {
    type: "join",
    subscriptionId,
    streamName: text("streamName", data["streamName"]),
    groupId: text("groupId", data["groupId"]),
    itemId:
      data["id"] === undefined || data["id"] === null || data["id"] === ""
        ? undefined
        : text("id", data["id"]),
    resume:
      data["resume"] === undefined || data["resume"] === null
        ? undefined
        : readPosition(data["resume"]),
    heartbeat: flag("heartbeat", data["heartbeat"]),
    parts: flag("parts", data["parts"]),
  };
}

function text(field: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw invalid(field, "is not a string", "a name");
}

function flag(field: string, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean") return value;
  throw invalid(field, "is not a boolean", "true or false");
}

function readPosition(value: unknown): Position {
  if (isRecord(value)) {
    const { epoch } = value;
    const revision =
      typeof value["revision"] === "string" ? Number(value["revision"]) : value["revision"];
    if (
      typeof epoch === "string" &&
      typeof revision === "number" &&
      Number.isSafeInteger(revision) &&
      revision >= 0
    ) {
      return { epoch, revision };
    }
  }
  throw invalid("resume", "is not a position", "{epoch, revision} as the service gave them");
}

function invalid(field: string, problem: string, may: string): StreamError {
  return new StreamError("REQUEST_INVALID", `${field} ${problem}; it may be ${may}.`, {
    metadata: { field },
  });
}
