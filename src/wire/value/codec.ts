import { Value } from "../../core/value.ts";
import type { ByteRanges } from "../protobuf/reader.ts";
import { CanonicalReader } from "./fast-reader.ts";
import { createKeeper } from "../protobuf/slab.ts";
import { decodeTolerant } from "./general-reader.ts";
import { ValueWriter } from "./writer.ts";

// Shared by all calls, each of which is synchronous.
const reader = new CanonicalReader();
const writer = new ValueWriter();
const keep = createKeeper();

/**
 * Decodes a `google.protobuf.Value`.
 *
 * As in protobuf, the last of several keys or kinds wins, objects and arrays in pieces are merged,
 * and an entry without a key has the key "". Stricter than protobuf: an entry or element without a
 * value is refused, and so is a known field with another wire type.
 *
 * @param ranges Where the value is in the bytes.
 * @param field Returns the name of the field for errors; called only when needed.
 * @param merge Whether it is the value of a merge operation, see `Value.ofMergeValue`.
 * @throws StreamError VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE; REQUEST_INVALID when the
 *   bytes are cut short or malformed.
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
  // These bytes are what encodeValue would write, up to the order of keys.
  value.attachEncoded(keep(bytes, start, end));
  return value;
}

/**
 * The value as an encoded `google.protobuf.Value`. Encoded once per instance: do not modify the
 * bytes.
 */
export function encodeValue(value: Value): Uint8Array {
  let bytes = value.encoded;
  if (bytes === undefined) {
    bytes = writer.write(value.json(), keep);
    value.attachEncoded(bytes);
  }
  return bytes;
}
