import { StreamError } from "./errors.ts";
import { utf8Length } from "./text.ts";

/** Any JSON value. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** Most levels of arrays and objects in one value; a scalar has 0, `{}` and `[]` have 1. */
export const MAX_VALUE_DEPTH = 30;

/** Largest value: as JSON text in UTF-8, and as an encoded `google.protobuf.Value`. */
export const MAX_VALUE_BYTES = 1024 * 1024;

/**
 * A valid JSON value, kept as its JSON text.
 *
 * Whoever holds a `Value` holds something checked: it exists only within the limits above, with
 * valid Unicode, finite numbers and no `__proto__` key (but see ofMergeValue, whose values are never
 * stored as they are). Stores keep the text and never look inside; only the reducer and doors that
 * need an object parse it. Doors attach their encoded forms to the instance (see wire), so one event
 * is encoded once however many subscribers hear it.
 */
export class Value {
  /** The value as JSON text. Key order is that of the writer. */
  readonly text: string;
  /** Its size in bytes: the larger of the JSON text and the encoded `google.protobuf.Value`. */
  readonly size: number;
  // Private, so that equal values stay equal to whoever compares their properties, and a field,
  // because a WeakMap entry costs more than decoding a small value.
  #encoded: Uint8Array | undefined = undefined;

  private constructor(text: string, size: number) {
    this.text = text;
    this.size = size;
  }

  /**
   * Checks a JSON value and takes its text.
   *
   * @param json What JSON.parse could have returned; anything else (a class instance, a function, a
   *   hole, NaN) is refused, never dropped or replaced in silence.
   * @param field What to call it in messages, for example `data`.
   * @throws StreamError VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE
   */
  static of(json: unknown, field = "data"): Value {
    return Value.#checked(json, field, false);
  }

  /**
   * Checks the value of a merge step: as `of`, but its own top-level key `__proto__` may pass. The
   * reducer then skips and reports the step, so that such a value is never stored.
   *
   * @throws StreamError VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE
   */
  static ofMergeValue(json: unknown, field: string): Value {
    return Value.#checked(json, field, true);
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

  /** The encoded google.protobuf.Value that wire attached, if it did. Never changed once there. */
  get encoded(): Uint8Array | undefined {
    return this.#encoded;
  }

  /** Keeps the encoded form as long as the value, so that it is made once. For wire only. */
  attachEncoded(bytes: Uint8Array): void {
    this.#encoded = bytes;
  }

  static #checked(json: unknown, field: string, topLevelProto: boolean): Value {
    // The walk comes first: it bounds what JSON.stringify, which recurses, has to do.
    const wireBytes = wireSize(json, field, 0, topLevelProto);
    if (wireBytes > MAX_VALUE_BYTES) throw tooLarge(field, "an encoded google.protobuf.Value");
    const text = JSON.stringify(json);
    const textBytes = utf8Length(text);
    if (textBytes > MAX_VALUE_BYTES) throw tooLarge(field, "JSON text");
    return new Value(text, Math.max(textBytes, wireBytes));
  }

  /** The value as a fresh object that the caller may change. */
  json(): Json {
    return JSON.parse(this.text) as Json;
  }
}

/**
 * Size of the value as an encoded google.protobuf.Value, checking everything on the way. It may stop
 * early once the size is over the limit, so a small value that repeats one object many times over
 * costs no more than a large one.
 */
function wireSize(json: unknown, field: string, depth: number, protoKey: boolean): number {
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
      return json === null ? 2 : containerSize(json, field, depth + 1, protoKey);
    case "undefined":
      throw invalid(field, depth === 0 ? "is missing" : "has an undefined member");
    default:
      throw invalid(field, `has a ${typeof json}`);
  }
}

function containerSize(json: object, field: string, depth: number, protoKey: boolean): number {
  if (depth > MAX_VALUE_DEPTH) {
    throw new StreamError(
      "VALUE_TOO_DEEP",
      `${field} has more than ${MAX_VALUE_DEPTH} levels of arrays and objects; it may have up to ${MAX_VALUE_DEPTH}.`,
      { metadata: { field } },
    );
  }
  // JSON.stringify would call the method and write something that was not checked.
  if ("toJSON" in json && typeof json.toJSON === "function")
    throw invalid(field, "has a toJSON method");
  return delimited(
    Array.isArray(json) ? listSize(json, field, depth) : structSize(json, field, depth, protoKey),
  );
}

function listSize(list: readonly unknown[], field: string, depth: number): number {
  let bytes = 0;
  // An index loop, not for-of over entries: a hole must be seen as undefined.
  for (let i = 0; i < list.length; i++) {
    bytes += delimited(wireSize(list[i], field, depth, false));
    if (bytes > MAX_VALUE_BYTES) break;
  }
  return bytes;
}

function structSize(struct: object, field: string, depth: number, protoKey: boolean): number {
  const prototype: unknown = Object.getPrototypeOf(struct);
  if (prototype !== Object.prototype && prototype !== null) {
    throw invalid(field, "has an object that is not plain JSON");
  }
  let bytes = 0;
  for (const key of Object.keys(struct)) {
    if (key === "__proto__" && !protoKey) throw invalid(field, "has a key __proto__");
    if (!key.isWellFormed()) throw invalid(field, "has a key that is not valid Unicode");
    const member = (struct as { readonly [key: string]: unknown })[key];
    bytes += delimited(
      delimited(utf8Length(key)) + delimited(wireSize(member, field, depth, false)),
    );
    if (bytes > MAX_VALUE_BYTES) break;
  }
  return bytes;
}

/** Size of a length-delimited field with a one-byte tag. */
function delimited(bytes: number): number {
  if (bytes < 0x80) return 2 + bytes;
  if (bytes < 0x4000) return 3 + bytes;
  if (bytes < 0x200000) return 4 + bytes;
  return 5 + bytes;
}

function tooLarge(field: string, form: string): StreamError {
  return new StreamError(
    "VALUE_TOO_LARGE",
    `${field} is too large; it may have up to ${MAX_VALUE_BYTES} bytes as ${form}.`,
    { metadata: { field } },
  );
}

function invalid(field: string, problem: string): StreamError {
  return new StreamError(
    "VALUE_INVALID",
    `${field} ${problem}; it may be any JSON value with finite numbers, valid Unicode and no key __proto__.`,
    { metadata: { field } },
  );
}
