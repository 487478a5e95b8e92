import { isRecord } from "../../core/is-record.ts";
import { StreamError } from "../../core/errors.ts";
import { MAX_VALUE_DEPTH, Value } from "../../core/value.ts";
import { type ByteRanges, Cursor, WireFault } from "../protobuf/reader.ts";
import {
  BOOL,
  ELEMENT,
  ENTRY,
  ENTRY_KEY,
  ENTRY_VALUE,
  LIST,
  NULL,
  NUMBER,
  STRING,
  STRUCT,
} from "./tags.ts";

type Container = unknown[] | Record<string, unknown>;

/**
 * Decodes any encoding of a `google.protobuf.Value`, in one or more pieces.
 *
 * It follows protobuf's rules for messages in pieces: objects and arrays of the same field are
 * merged, and of everything else the last wins.
 *
 * @param merge Whether it is the value of a merge operation, see `Value.ofMergeValue`.
 * @throws StreamError as decodeValue.
 */
export function decodeTolerant(
  bytes: Uint8Array,
  ranges: ByteRanges,
  field: string,
  merge: boolean,
): Value {
  let json: unknown;
  try {
    json = new TolerantReader(bytes, field).value(ranges);
  } catch (error) {
    if (!(error instanceof WireFault)) throw error;
    throw new StreamError(
      "REQUEST_INVALID",
      `${field} is cut short or malformed; it may be an encoded google.protobuf.Value.`,
      { metadata: { field } },
    );
  }
  return merge ? Value.ofMergeValue(json, field) : Value.of(json, field);
}

class TolerantReader {
  readonly #cursor: Cursor;
  readonly #field: string;

  constructor(bytes: Uint8Array, field: string) {
    this.#cursor = new Cursor(bytes);
    this.#field = field;
  }

  value(ranges: ByteRanges): unknown {
    let json = this.#piece(undefined, ranges.start, ranges.end);
    for (const { start, end } of ranges.more ?? []) json = this.#piece(json, start, end);
    return this.#present(json);
  }

  #piece(before: unknown, start: number, end: number): unknown {
    this.#cursor.pos = start;
    return this.#read(before, end, 0);
  }

  /**
   * Reads up to `end` into the value so far: an object or array grows, anything else is replaced.
   */
  #read(before: unknown, end: number, depth: number): unknown {
    const cursor = this.#cursor;
    const outer = cursor.end;
    cursor.end = end;
    let json = before;
    while (cursor.pos < end) {
      const tag = cursor.tag();
      switch (tag) {
        case NULL:
          cursor.int32();
          json = null;
          break;
        case NUMBER:
          json = cursor.double();
          break;
        case STRING:
          json = this.#text(cursor.string());
          break;
        case BOOL:
          json = cursor.bool();
          break;
        case STRUCT:
          json = this.#struct(isRecord(json) ? json : {}, cursor.delimited(), depth + 1);
          break;
        case LIST:
          json = this.#list(
            Array.isArray(json) ? (json as unknown[]) : [],
            cursor.delimited(),
            depth + 1,
          );
          break;
        default:
          this.#unknown(tag, 6);
      }
    }
    cursor.end = outer;
    return json;
  }

  #struct(json: Record<string, unknown>, end: number, depth: number): Container {
    const cursor = this.#cursor;
    const outer = this.#enter(end, depth);
    while (cursor.pos < end) {
      const tag = cursor.tag();
      if (tag === ENTRY) this.#entry(json, cursor.delimited(), depth);
      else this.#unknown(tag, 1);
    }
    cursor.end = outer;
    return json;
  }

  #entry(json: Record<string, unknown>, end: number, depth: number): void {
    const cursor = this.#cursor;
    const outer = cursor.end;
    cursor.end = end;
    let key = "";
    let value: unknown;
    while (cursor.pos < end) {
      const tag = cursor.tag();
      if (tag === ENTRY_KEY) key = this.#text(cursor.string());
      else if (tag === ENTRY_VALUE) value = this.#read(value, cursor.delimited(), depth);
      else this.#unknown(tag, 2);
    }
    cursor.end = outer;
    this.#present(value);
    if (key !== "__proto__") json[key] = value;
    // Assigning would set the prototype and hide the key from the check that refuses it.
    else
      Object.defineProperty(json, key, {
        value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }

  #list(json: unknown[], end: number, depth: number): Container {
    const cursor = this.#cursor;
    const outer = this.#enter(end, depth);
    while (cursor.pos < end) {
      const tag = cursor.tag();
      if (tag === ELEMENT)
        json.push(this.#present(this.#read(undefined, cursor.delimited(), depth)));
      else this.#unknown(tag, 1);
    }
    cursor.end = outer;
    return json;
  }

  #enter(end: number, depth: number): number {
    if (depth > MAX_VALUE_DEPTH) {
      throw new StreamError(
        "VALUE_TOO_DEEP",
        `${this.#field} has more than ${MAX_VALUE_DEPTH} levels of arrays and objects; it may have up to ${MAX_VALUE_DEPTH}.`,
        { metadata: { field: this.#field } },
      );
    }
    const outer = this.#cursor.end;
    this.#cursor.end = end;
    return outer;
  }

  #unknown(tag: number, lastKnown: number): void {
    // A known field with another wire type is not skipped: its data would be lost silently.
    if (tag >>> 3 <= lastKnown) throw new WireFault();
    this.#cursor.skip(tag);
  }

  #text(text: string | undefined): string {
    if (text === undefined) throw this.#invalid("has a string that is not valid UTF-8");
    return text;
  }

  #present(json: unknown): unknown {
    if (json === undefined) throw this.#invalid("has a google.protobuf.Value without a kind");
    return json;
  }

  #invalid(problem: string): StreamError {
    return new StreamError(
      "VALUE_INVALID",
      `${this.#field} ${problem}; it may be any JSON value with finite numbers, valid Unicode and no key __proto__.`,
      { metadata: { field: this.#field } },
    );
  }
}
