import { isRecord } from "../core/is-record.ts";
import { StreamError } from "../core/errors.ts";
import { type CallFrame, readCall } from "./call-frame.ts";
import { invalid } from "./invalid.ts";
import { MAX_NAME_BYTES } from "../core/names.ts";
import { MAY_WINDOW, isWindow } from "../core/window.ts";
import type { Position } from "../core/position.ts";
import { readPresenceData } from "./presence-data.ts";
import type { Target } from "./target.ts";
import type { Value } from "../core/value.ts";
import { parseCut, parseNested } from "../core/nesting.ts";

/** What a client asks for. */
export type ClientFrame =
  | JoinFrame
  | LeaveFrame
  | PresenceFrame
  | HelloFrame
  | TokenFrame
  | CallFrame;

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
  /** Whether it takes snapshots as items, with their revisions and times. */
  readonly items: boolean;
  /** Only the newest items come in snapshots, this many. Undefined: all. */
  readonly window: number | undefined;
  /** Whether it takes updates as their steps. */
  readonly deltas: boolean;
  /** What the client shows of itself. Undefined: it is not present. */
  readonly presence: Value | undefined;
}

/** A join without extensions. */
export function plainJoin(
  { streamName, groupId, itemId }: Target,
  subscriptionId: string,
): JoinFrame {
  const noExtensions = {
    resume: undefined,
    heartbeat: false,
    parts: false,
    items: false,
    window: undefined,
    deltas: false,
    presence: undefined,
  };
  return { type: "join", subscriptionId, streamName, groupId, itemId, ...noExtensions };
}

/** Ends a subscription of this socket. */
export interface LeaveFrame {
  readonly type: "leave";
  readonly subscriptionId: string;
}

/** Replaces the presence of a subscription. */
export interface PresenceFrame {
  readonly type: "presence";
  readonly subscriptionId: string;
  readonly data: Value;
}

/** Begins the socket, for a client that reads the frames about the socket itself. */
export interface HelloFrame {
  readonly type: "hello";
  /** The session that it takes up again; undefined: it begins one. */
  readonly session: string | undefined;
}

/** Renews the credentials of the caller. */
export interface TokenFrame {
  readonly type: "token";
  readonly token: string;
}

/** The version of the protocol that hello names. */
const VERSION = 2;

/**
 * Reads a client's frame. Unknown fields are ignored; names are checked later, by the service.
 *
 * @param saidHello Whether the client has said hello.
 * @throws StreamError REQUEST_INVALID naming the field and what it may be; its metadata has the
 *   `subscriptionId` of a join that has one.
 */
export function readClientFrame(json: string, saidHello = false): ClientFrame {
  let frame: unknown;
  try {
    // The field of a call that nests too deep is named in its result.
    frame = saidHello ? parseCut(json) : parseNested(json);
  } catch {
    throw invalid("The frame", "is not JSON", "{type, data}");
  }
  if (!isRecord(frame)) throw invalid("The frame", "is not an object", "{type, data}");
  const { type, data } = frame;
  if (type === "hello") return readHello(data);
  if (type === "token") return readToken(data);
  if (type === "call") return readCall(data);
  if (type !== "join" && type !== "leave" && (type !== "presence" || !saidHello)) {
    const may = saidHello ? "join, leave, presence, call or token" : "join or leave";
    throw invalid("type", "is unknown", may);
  }
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
    if (type === "join") return readJoin(subscriptionId, data, saidHello);
    return { type, subscriptionId, data: readPresenceData(data["data"], "data") };
  } catch (error) {
    throw StreamError.from(error).with({ subscriptionId });
  }
}

function readHello(data: unknown): HelloFrame {
  if (!isRecord(data)) throw invalid("data", "is not an object", "{version, session}");
  const { version, session = null } = data;
  if (version !== VERSION) throw invalid("version", "is not supported", String(VERSION));
  if (session !== null && (typeof session !== "string" || session.length > MAX_NAME_BYTES)) {
    throw invalid("session", "is not a session", "one that a welcome gave, or absent");
  }
  return { type: "hello", session: session ?? undefined };
}

function readToken(data: unknown): TokenFrame {
  const token = isRecord(data) ? data["token"] : undefined;
  if (typeof token !== "string" || token === "")
    throw invalid("token", "is not a token", "a string that is not empty");
  return { type: "token", token };
}

function readJoin(
  subscriptionId: string,
  data: Record<string, unknown>,
  saidHello: boolean,
): JoinFrame {
  const itemId =
    data["id"] === undefined || data["id"] === null || data["id"] === ""
      ? undefined
      : text("id", data["id"]);
  return {
    type: "join",
    subscriptionId,
    streamName: text("streamName", data["streamName"]),
    groupId: text("groupId", data["groupId"]),
    itemId,
    resume:
      data["resume"] === undefined || data["resume"] === null
        ? undefined
        : readPosition(data["resume"]),
    heartbeat: flag("heartbeat", data["heartbeat"]),
    parts: flag("parts", data["parts"]),
    items: flag("items", data["items"]),
    window: readWindow(data["window"], itemId),
    deltas: flag("deltas", data["deltas"]),
    presence: readPresence(data["presence"], saidHello),
  };
}

function readPresence(presence: unknown, saidHello: boolean): Value | undefined {
  if (presence === undefined || presence === null) return undefined;
  if (saidHello) return readPresenceData(presence, "presence");
  throw invalid("presence", "is given without a hello", "given by clients that have said hello");
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

function readWindow(value: unknown, itemId: string | undefined): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isWindow(value)) throw invalid("window", "is not a number of items", MAY_WINDOW);
  if (itemId === undefined) return value;
  throw invalid("window", "is given with an id", "absent, or given for a whole group");
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
