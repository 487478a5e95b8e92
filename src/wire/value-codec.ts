import type { JsonValue } from "@bufbuild/protobuf";
import { fromJson } from "@bufbuild/protobuf";
import type { Value as ValueMessage } from "@bufbuild/protobuf/wkt";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Value } from "../core/value.ts";
import { CanonicalReader } from "./value-canonical.ts";
import { createKeeper } from "./value-keep.ts";
import { decodeTolerant } from "./value-tolerant.ts";
import { ValueWriter } from "./value-writer.ts";

// Scratch space: nothing in them outlives a call.
const reader = new CanonicalReader();
const writer = new ValueWriter();
const keep = createKeeper();

const messages = new WeakMap<Value, ValueMessage>();

/**
 * Decodes a `google.protobuf.Value`.
 *
 * As protobuf has it, the last of several keys or kinds holds, and an entry without a key has the
 * key "". Stricter than protobuf: an entry or element without a value has no kind and is refused.
 *
 * @param field What to call it in messages.
 * @throws StreamError VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE; REQUEST_INVALID when the bytes
 * are cut short or not a message.
 */
export function decodeValue(bytes: Uint8Array, field = "data"): Value {
  return (
    decodeCanonical(bytes, 0, bytes.length) ??
    decodeTolerant(bytes, { start: 0, end: bytes.length, more: undefined }, field, false)
  );
}

/** The same for a range of the bytes, when it is canonical; else undefined, which says nothing about it. */
export function decodeCanonical(bytes: Uint8Array, start: number, end: number): Value | undefined {
  const text = reader.text(bytes, start, end);
  if (text === undefined) return undefined;
  const value = Value.trusted(text, Math.max(reader.textBytes, end - start));
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

/** The value as a protobuf-es message. Made once per instance; nobody may change it. */
export function valueToMessage(value: Value): ValueMessage {
  let message = messages.get(value);
  if (message === undefined) {
    message = fromJson(ValueSchema, value.json() as JsonValue);
    messages.set(value, message);
  }
  return message;
}
