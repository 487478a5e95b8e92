import { type JsonValue, fromJson } from "@bufbuild/protobuf";
import { type Value as ValueMessage, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Value } from "../../core/value.ts";
import type { ByteRanges } from "../protobuf/reader.ts";
import { CanonicalReader } from "./fast-reader.ts";
import { createKeeper } from "../protobuf/slab.ts";
import { decodeTolerant } from "./general-reader.ts";
import { ValueWriter } from "./writer.ts";

// Scratch space: nothing in them outlives a call.
const reader = new CanonicalReader();
const writer = new ValueWriter();
const keep = createKeeper();

/**
 * Decodes a `google.protobuf.Value`.
 *
 * As protobuf has it, the last of several keys or kinds holds, objects and arrays in pieces are
 * merged, and an entry without a key has the key "". Stricter than protobuf: an entry or element
 * without a value has no kind and is refused, and so is a known field with another wire type.
 *
 * @param ranges Where in the bytes it is.
 * @param field What to call it in messages; called only for one.
 * @param merge Whether it is the value of a merge step, see `Value.ofMergeValue`.
 * @throws StreamError VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE; REQUEST_INVALID when the bytes
 * are cut short or not a message.
 */
export function decodeValue(
  bytes: Uint8Array,
  ranges: ByteRanges,
  field: () => string,
  merge: boolean,
): Value {
  const { start, end, more } = ranges;
  const text = more === undefined ? reader.text(bytes, start, end) : undefined;
  if (text === undefined) return decodeTolerant(bytes, ranges, field(), merge);
  const value = Value.trusted(text, Math.max(reader.textBytes, end - start));
  // What was read is what encodeValue would write, up to the order of keys.
  value.attachEncoded(keep(bytes, start, end));
  return value;
}

/** The value as an encoded `google.protobuf.Value`. Made once per instance; nobody may change the bytes. */
export function encodeValue(value: Value): Uint8Array {
  let bytes = value.encoded;
  if (bytes === undefined) {
    bytes = writer.write(value.json(), keep);
    value.attachEncoded(bytes);
  }
  return bytes;
}

/** The value as a protobuf-es message. Not kept: a tree is several times as large as its text. */
export function valueToMessage(value: Value): ValueMessage {
  return fromJson(ValueSchema, value.json() as JsonValue);
}
