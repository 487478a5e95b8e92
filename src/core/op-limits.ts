import { type JsonObject, type JsonTree, isDeeperThan, isObject } from "./json-tree.ts";
import type { Path, UpdateOp } from "./ops.ts";
import { utf8Length } from "./text.ts";

/** Most keys in one path. */
const MAX_PATH_KEYS = 32;

/** Longest key of a path, in UTF-8 bytes. */
const MAX_PATH_KEY_BYTES = 256;

/** Most top-level keys of a merge value. */
const MAX_MERGE_KEYS = 1024;

/** Most levels of arrays and objects in a merge value; a scalar has 0, `{}` has 1. */
const MAX_MERGE_DEPTH = 16;

/** Keys that must not be written, because many client libraries treat them as more than data. */
const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** Why a step was skipped. A result, not an exception: later steps still run. */
export class Refusal {
  /** Stable code, for example `increment.not_number`. */
  readonly code: string;
  /**
   * The problem and the allowed values, for people: completes a sentence that begins with the path.
   */
  readonly problem: string;

  constructor(code: string, problem: string) {
    this.code = code;
    this.problem = problem;
  }
}

/** The first limit that a path exceeds; undefined when it keeps all of them. */
export function pathRefusal(type: UpdateOp["type"], path: Path): Refusal | undefined {
  if (path.length > MAX_PATH_KEYS) {
    return new Refusal(
      `${type}.path.too_deep`,
      `the path has ${path.length} keys; it may have up to ${MAX_PATH_KEYS}.`,
    );
  }
  for (const key of path) {
    if (key === "") {
      return new Refusal(
        `${type}.path.empty_segment`,
        `the path has an empty key; each may have 1 to ${MAX_PATH_KEY_BYTES} bytes.`,
      );
    }
    if (utf8Length(key) > MAX_PATH_KEY_BYTES) {
      return new Refusal(
        `${type}.path.segment_too_long`,
        `the path has a key of more than ${MAX_PATH_KEY_BYTES} bytes; each may have 1 to ${MAX_PATH_KEY_BYTES} bytes.`,
      );
    }
    if (FORBIDDEN_KEYS.has(key)) {
      return new Refusal(
        `${type}.path.proto_polluted`,
        `the path has the key ${key}; it may have any other than ${[...FORBIDDEN_KEYS].join(", ")}.`,
      );
    }
  }
  return undefined;
}

/** The value as an object that may be merged, or the first limit that it exceeds. */
export function mergeable(value: JsonTree): JsonObject | Refusal {
  if (!isObject(value)) {
    return new Refusal(
      "merge.value.not_an_object",
      "the value is not an object; it may be any object.",
    );
  }
  const keys = Object.keys(value);
  if (keys.length > MAX_MERGE_KEYS) {
    return new Refusal(
      "merge.value.too_many_keys",
      `the value has ${keys.length} keys; it may have up to ${MAX_MERGE_KEYS}.`,
    );
  }
  const forbidden = keys.find((key) => FORBIDDEN_KEYS.has(key));
  if (forbidden !== undefined) {
    return new Refusal(
      "merge.value.proto_polluted",
      `the value has the key ${forbidden}; it may have any other than ${[...FORBIDDEN_KEYS].join(", ")}.`,
    );
  }
  if (isDeeperThan(value, MAX_MERGE_DEPTH)) {
    return new Refusal(
      "merge.value.too_deep",
      `the value has more than ${MAX_MERGE_DEPTH} levels of arrays and objects; it may have up to ${MAX_MERGE_DEPTH}.`,
    );
  }
  return value;
}
