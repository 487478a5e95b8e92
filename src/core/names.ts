import { StreamError } from "./errors.ts";
import { utf8Length } from "./text.ts";

/** Longest name, in UTF-8 bytes. */
export const MAX_NAME_BYTES = 256;

/** Beginning of the names of streams that belong to the service itself. */
export const RESERVED_PREFIX = "millrace:";

/** A group: the unit of order, log and subscription. */
export interface GroupKey {
  readonly streamName: string;
  readonly groupId: string;
}

// Names contain no control characters, so U+0000 is a safe separator between them.
const CONTROL = /\p{Cc}/u;

/**
 * Checks one name: 1 to 256 bytes of valid Unicode without control characters (category Cc).
 * Names are compared byte by byte and never normalized.
 *
 * @param field Name of the field in the message, as the caller knows it.
 * @throws StreamError NAME_INVALID
 */
export function checkName(field: string, name: unknown): string {
  if (isPlainName(name)) return name;
  const problem = nameProblem(name);
  if (problem === undefined) return name as string;
  throw new StreamError(
    "NAME_INVALID",
    `${field} ${problem}; it may be 1 to ${MAX_NAME_BYTES} bytes of UTF-8 without control characters.`,
    { metadata: { field } },
  );
}

/** Whether it is a valid name, as `checkName` checks it. */
export function isName(name: unknown): name is string {
  return isPlainName(name) || nameProblem(name) === undefined;
}

/** Checks the two names of a group. @throws StreamError NAME_INVALID */
export function checkGroup(group: { streamName: unknown; groupId: unknown }): GroupKey {
  return {
    streamName: checkName("stream_name", group.streamName),
    groupId: checkName("group_id", group.groupId),
  };
}

/**
 * One string for a group, equal exactly when the groups are equal. Its order by UTF-8 bytes is
 * that of (stream name, group id).
 */
export function groupKeyText(group: GroupKey): string {
  return `${group.streamName}\u0000${group.groupId}`;
}

/** The group of a text that `groupKeyText` returned. */
export function groupOfText(text: string): GroupKey {
  const [streamName = "", groupId = ""] = text.split("\u0000");
  return { streamName, groupId };
}

/** Whether it is a name of printable ASCII, as nearly all are: one pass decides. */
function isPlainName(name: unknown): name is string {
  if (typeof name !== "string" || name === "" || name.length > MAX_NAME_BYTES) return false;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit < 0x20 || unit > 0x7e) return false;
  }
  return true;
}

function nameProblem(name: unknown): string | undefined {
  if (typeof name !== "string") return name === undefined ? "is missing" : "is not a string";
  if (name === "") return "is empty";
  if (name.length > MAX_NAME_BYTES) return "is too long";
  if (!name.isWellFormed()) return "is not valid Unicode";
  if (CONTROL.test(name)) return "has a control character";
  if (utf8Length(name) > MAX_NAME_BYTES) return "is too long";
  return undefined;
}
