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
 * A `Value` is always validated: it exists only within the limits above, with valid Unicode, finite
 * numbers and no `__proto__` key (but see ofMergeValue, whose values are never stored as they are).
 * Stores keep the text and never interpret it; only the reducer, and protocols that need an object,
 * parse it. Protocols attach their encoded form to the instance (see wire), so an event is encoded
 * once, however many subscribers receive it.
 */
export class Value {
  /** The value as JSON text. Key order is that of the writer. */
  readonly text: string;
  /** Its size in bytes: the larger of the JSON text and the encoded `google.protobuf.Value`. */
  readonly size: number;
  // Private, so that comparisons by property still see equal values as equal; and a field, because
  // a WeakMap entry costs more than decoding a small value.
  #encoded: Uint8Array | undefined = undefined;

  private constructor(text: string, size: number) {
    this.text = text;
    this.size = size;
  }

  /**
   * Checks a JSON value and takes its text.
   *
   * @param json A value as JSON.parse returns it; anything else (a class instance, a function, a
   *   hole, NaN) is refused, never dropped or replaced silently.
   * @param field Name in messages, for example `data`.
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

  /** A value that was validated before, as a store reads it back. `size` is its original size. */
  static trusted(text: string, size: number): Value {
    return new Value(text, size);
  }

  /** The encoded google.protobuf.Value, if wire has attached it. Never changed once attached. */
  get encoded(): Uint8Array | undefined {
    return this.#encoded;
  }

  /** Attaches the encoded form, so that a value is encoded once. For wire only. */
  attachEncoded(bytes: Uint8Array): void {
    this.#encoded = bytes;
  }

  static #checked(json: unknown, field: string, topLevelProto: boolean): Value {
    // The walk comes first: it bounds the depth and size for JSON.stringify, which recurses.
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
 * Validates the value and returns its size as an encoded google.protobuf.Value. It may stop early
 * once the size is over the limit, so a small object graph that repeats one object many times costs
 * no more than a large value.
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
  // JSON.stringify would call the method and write its unchecked result.
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
