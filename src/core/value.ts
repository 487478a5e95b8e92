import { StreamError } from "./errors.ts";
import { utf8Length } from "./text.ts";

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Most levels of arrays and objects in one value; a scalar has 0, `{}` and `[]` have 1. */
export const MAX_VALUE_DEPTH = 30;

/** Largest value: as JSON text in UTF-8, and as an encoded `google.protobuf.Value`. */
export const MAX_VALUE_BYTES = 1024 * 1024;

/**
 * A valid JSON value, kept as its JSON text.
 *
 * Whoever holds a `Value` holds something checked: it exists only within the limits above, with
 * valid Unicode, finite numbers and no `__proto__` key. Stores keep the text and never look inside;
 * only the reducer and doors that need an object parse it. Doors attach their encoded forms to the
 * instance (see wire), so one event is encoded once however many subscribers hear it.
 */
export class Value {
  /** The value as JSON text. Key order is that of the writer. */
  readonly text: string;
  /** Its size in bytes: the larger of the JSON text and the encoded `google.protobuf.Value`. */
  readonly size: number;

  private constructor(text: string, size: number) {
    this.text = text;
    this.size = size;
  }

  /**
   * Checks a JSON value and takes its text.
   *
   * @param field What to call it in messages, for example `data`.
   * @throws StreamError VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE
   */
  static of(json: unknown, field = "data"): Value {
    const wireBytes = wireSize(json, field, 0);
    const text = JSON.stringify(json);
    return sized(text, wireBytes, field, (size) => new Value(text, size));
  }

  /**
   * Checks JSON text. The text kept is the canonical one of the parsed value.
   *
   * @throws StreamError VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE
   */
  static parse(text: string, field = "data"): Value {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw invalid(field, "is not JSON");
    }
    return Value.of(json, field);
  }

  /** A value that was checked before, as a store reads it back. `size` is the one it had. */
  static trusted(text: string, size: number): Value {
    return new Value(text, size);
  }

  /** The value as a fresh object that the caller may change. */
  json(): Json {
    return JSON.parse(this.text) as Json;
  }
}

function sized(text: string, wireBytes: number, field: string, make: (size: number) => Value): Value {
  const textBytes = utf8Length(text);
  const size = Math.max(textBytes, wireBytes);
  if (size <= MAX_VALUE_BYTES) return make(size);
  const form = textBytes > MAX_VALUE_BYTES ? "JSON text" : "google.protobuf.Value";
  throw new StreamError(
    "VALUE_TOO_LARGE",
    `${field} has ${size} bytes as ${form}; it may have up to ${MAX_VALUE_BYTES}.`,
    { metadata: { field } },
  );
}

/** Size of the value as an encoded google.protobuf.Value, checking everything but the total. */
function wireSize(json: unknown, field: string, depth: number): number {
  switch (typeof json) {
    case "string":
      if (!json.isWellFormed()) throw invalid(field, "has a string that is not valid Unicode");
      return delimited(utf8Length(json));
    case "number":
      if (!Number.isFinite(json)) throw invalid(field, "has a number that is not finite");
      return 9;
    case "boolean":
      return 2;
    case "object":
      return json === null ? 2 : containerSize(json, field, depth + 1);
    default:
      throw invalid(field, json === undefined ? "is missing or has an undefined member" : `has a ${typeof json}`);
  }
}

function containerSize(json: object, field: string, depth: number): number {
  if (depth > MAX_VALUE_DEPTH) {
    throw new StreamError(
      "VALUE_TOO_DEEP",
      `${field} has more than ${MAX_VALUE_DEPTH} levels of arrays and objects; it may have up to ${MAX_VALUE_DEPTH}.`,
      { metadata: { field } },
    );
  }
  let bytes = 0;
  if (Array.isArray(json)) {
    // An index loop, not for-of: a hole must be seen as undefined.
    for (let i = 0; i < json.length; i++) bytes += delimited(wireSize(json[i], field, depth));
    return delimited(bytes);
  }
  const prototype: unknown = Object.getPrototypeOf(json);
  if (prototype !== Object.prototype && prototype !== null) {
    throw invalid(field, "has an object that is not plain JSON");
  }
  for (const [key, member] of Object.entries(json)) {
    if (key === "__proto__") throw invalid(field, "has a key __proto__");
    if (!key.isWellFormed()) throw invalid(field, "has a key that is not valid Unicode");
    bytes += delimited(delimited(utf8Length(key)) + delimited(wireSize(member, field, depth)));
  }
  return delimited(bytes);
}

/** Size of a length-delimited field with a one-byte tag. */
function delimited(bytes: number): number {
  if (bytes < 0x80) return 2 + bytes;
  if (bytes < 0x4000) return 3 + bytes;
  if (bytes < 0x200000) return 4 + bytes;
  return 6 + bytes;
}

function invalid(field: string, problem: string): StreamError {
  return new StreamError(
    "VALUE_INVALID",
    `${field} ${problem}; it may be any JSON value with finite numbers, valid Unicode and no key __proto__.`,
    { metadata: { field } },
  );
}
