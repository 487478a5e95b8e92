import { StreamError } from "./errors.ts";
import type { Path, UpdateOp } from "./ops.ts";
import { Value } from "./value.ts";

/** Most steps in one update. */
export const MAX_OPS = 1000;

const TYPES = "set, merge, increment, decrement, append or remove";

const DECIMAL = /^-?\d{1,16}$/;

/** An object as a caller sent it, not yet validated. */
type Raw = Readonly<Record<string, unknown>>;

/**
 * Reads the steps of an update from their JSON form.
 *
 * @throws StreamError REQUEST_INVALID for too many; otherwise as opFromJson.
 */
export function opsFromJson(json: unknown): UpdateOp[] {
  if (!Array.isArray(json)) {
    throw malformed("ops", json, `an array of up to ${MAX_OPS} operations`);
  }
  checkOpCount(json.length);
  return Array.from(json, opFromJson);
}

/**
 * Reads one step from its JSON form, `{"type":"set","path":"key","value":1}`. Unknown fields are
 * ignored.
 *
 * `set`, `increment`, `decrement` and `remove` need a `path`: a first-level key, or `""` for the
 * root. `merge` and `append` take one key or an array of keys; absent, null, `""` and `[]` are the
 * root. An absent `value` is null for `set` and an error for the others.
 *
 * @param index Place of the step in its update, from 0, for messages.
 * @throws StreamError OP_MALFORMED; VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE for its value. A
 *   merge value may have a top-level key `__proto__`: the reducer reports that as the step's error.
 */
export function opFromJson(json: unknown, index: number): UpdateOp {
  const at = `ops[${index}]`;
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw malformed(at, json, `an object with a type: ${TYPES}`);
  }
  const raw = json as Raw;
  const { type } = raw;
  switch (type) {
    case "set":
      return { type, path: keyOf(raw, at), value: Value.of(raw["value"] ?? null, `${at}.value`) };
    case "merge":
      return {
        type,
        path: pathOf(raw, at),
        value: Value.ofMergeValue(operandOf(raw, at), `${at}.value`),
      };
    case "increment":
    case "decrement":
      return { type, path: keyOf(raw, at), by: checkBy(raw["by"], `${at}.by`) };
    case "append":
      return { type, path: pathOf(raw, at), value: Value.of(operandOf(raw, at), `${at}.value`) };
    case "remove":
      return { type, path: keyOf(raw, at) };
    default:
      throw malformed(`${at}.type`, type, TYPES);
  }
}

/** Checks the number of steps in an update. @throws StreamError REQUEST_INVALID */
export function checkOpCount(count: number, field = "ops"): void {
  if (count <= MAX_OPS) return;
  throw new StreamError(
    "REQUEST_INVALID",
    `${field} has ${count} entries; it may have up to ${MAX_OPS}.`,
    { metadata: { field } },
  );
}

/**
 * Checks what an increment or decrement adds: an integer within ±(2^53-1), as a number, a bigint or
 * a decimal string (64-bit numbers travel as each of them).
 *
 * @param field Name in messages, for example `ops[3].by`.
 * @throws StreamError OP_MALFORMED
 * @internal
 */
export function checkBy(by: unknown, field: string): number {
  const isNumeric =
    typeof by === "number" ||
    typeof by === "bigint" ||
    (typeof by === "string" && DECIMAL.test(by));
  const number = isNumeric ? Number(by) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw malformed(field, by, "an integer from -(2^53-1) to 2^53-1");
}

function keyOf(raw: Raw, at: string): string {
  const path = raw["path"];
  if (isKey(path)) return path;
  throw malformed(`${at}.path`, path, 'a first-level key as a string, or "" for the root');
}

function pathOf(raw: Raw, at: string): Path {
  const path = raw["path"];
  if (path === undefined || path === null || path === "") return [];
  if (isKey(path)) return [path];
  if (Array.isArray(path) && path.every(isKey)) return [...path];
  throw malformed(
    `${at}.path`,
    path,
    'a key as a string, an array of keys, or absent, null, "" or [] for the root',
  );
}

/** Valid Unicode only: the keys of a path become part of the value. */
function isKey(key: unknown): key is string {
  return typeof key === "string" && key.isWellFormed();
}

function operandOf(raw: Raw, at: string): unknown {
  const value = raw["value"];
  if (value !== undefined) return value;
  throw malformed(`${at}.value`, value, "any JSON value");
}

function malformed(field: string, got: unknown, allowed: string): StreamError {
  const problem = got === undefined ? "is missing" : "is malformed";
  return new StreamError("OP_MALFORMED", `${field} ${problem}; it may be ${allowed}.`, {
    metadata: { field },
  });
}
