import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { durationMs } from "../../core/duration.ts";
import { type ByteRanges, Cursor, WireFault } from "../protobuf/reader.ts";
import { type FieldPath, fieldError, fieldText, located, malformed } from "./errors.ts";
import {
  type FieldSchema,
  type FieldKind,
  type MessageSchema,
  isNested,
  messageSchema,
} from "./schema.ts";
import type { Decoded } from "./decoded.ts";
import { decodeValue } from "../value/codec.ts";

/** Wire type of each kind. */
const WIRE_TYPE: Readonly<Record<FieldKind, number>> = {
  string: 2,
  bool: 0,
  int32: 0,
  uint32: 0,
  int64: 0,
  uint64: 0,
  id: 0,
  value: 2,
  duration: 2,
  message: 2,
};

/** The fields of a Duration: both varints. */
const SECONDS_TAG = 1 << 3;
const NANOS_TAG = 2 << 3;

type Plain = Record<string, unknown>;

/**
 * Compiles a decoder of the binary form of a message.
 *
 * Unknown fields are skipped. The last value of a scalar sent twice wins; a message sent twice is
 * merged, Values included. Stricter than protobuf requires: a known field with another wire type is
 * refused, not skipped, a message must end where its length says, and a oneof case that a later one
 * replaces must be valid too.
 *
 * The decoder throws StreamError: REQUEST_INVALID for bytes that are not the message and for
 * content of the wrong form, except NAME_INVALID for names, OP_MALFORMED inside update operations,
 * and the reasons of `Value` for values. Its metadata names the field, and in a batch the
 * mutation's `index`.
 */
export function compileBinaryDecoder<Desc extends DescMessage>(
  desc: Desc,
): (bytes: Uint8Array) => Decoded<MessageShape<Desc>> {
  const schema = messageSchema(desc);
  return (bytes) => {
    try {
      const whole = { start: 0, end: bytes.length, more: undefined };
      const decoded = new BinaryDecoder(bytes).message(schema, whole, undefined);
      return decoded as Decoded<MessageShape<Desc>>;
    } catch (error) {
      throw located(error);
    }
  };
}

/** A message or Value whose bytes are located but not decoded yet: more of it may follow. */
class Pending implements ByteRanges {
  readonly field: FieldSchema;
  readonly start: number;
  readonly end: number;
  more: { start: number; end: number }[] | undefined = undefined;

  constructor(field: FieldSchema, start: number, end: number) {
    this.field = field;
    this.start = start;
    this.end = end;
  }
}

class BinaryDecoder {
  readonly #cursor: Cursor;

  constructor(bytes: Uint8Array) {
    this.#cursor = new Cursor(bytes);
  }

  message(schema: MessageSchema, ranges: ByteRanges, path: FieldPath | undefined): Plain {
    const out: Plain = { ...schema.empty };
    try {
      this.#fields(schema, ranges.start, ranges.end, out, path);
      if (ranges.more !== undefined) {
        for (const { start, end } of ranges.more) this.#fields(schema, start, end, out, path);
      }
    } catch (error) {
      throw error instanceof WireFault ? malformed(path, schema.typeName) : error;
    }
    for (const slot of schema.nestedSlots) {
      const held = out[slot];
      if (held instanceof Pending) out[slot] = this.#finish(held, path);
      else if (isOpenCase(held))
        out[slot] = { case: held.case, value: this.#finish(held.value, path) };
    }
    return out;
  }

  #fields(
    schema: MessageSchema,
    start: number,
    end: number,
    out: Plain,
    path: FieldPath | undefined,
  ): void {
    const cursor = this.#cursor;
    const { byNumber } = schema;
    cursor.pos = start;
    cursor.end = end;
    while (cursor.pos < end) {
      const tag = cursor.tag();
      const number = tag >>> 3;
      const field = number < byNumber.length ? byNumber[number] : undefined;
      if (field === undefined) cursor.skip(tag);
      else if ((tag & 7) !== WIRE_TYPE[field.kind]) {
        throw fieldError(
          field.reason,
          fieldText(path, field.name),
          "is encoded as another type",
          field.may,
        );
      } else if (field.repeated) this.#element(field, out, path);
      else if (field.oneofCase !== undefined) this.#member(field, field.oneofCase, out, path);
      else if (isNested(field)) out[field.slot] = this.#pending(field, out[field.slot]);
      else out[field.slot] = this.#scalar(field, path, undefined);
    }
  }

  #element(field: FieldSchema, out: Plain, path: FieldPath | undefined): void {
    // Empty messages share one frozen array: the first element replaces it.
    let list = out[field.slot] as unknown[];
    if (list.length === 0) out[field.slot] = list = [];
    if (field.message === undefined) {
      list.push(this.#scalar(field, path, list.length));
      return;
    }
    const cursor = this.#cursor;
    const { end } = cursor;
    const elementEnd = cursor.delimited();
    const ranges = { start: cursor.pos, end: elementEnd, more: undefined };
    list.push(
      this.message(field.message, ranges, { parent: path, name: field.name, index: list.length }),
    );
    cursor.pos = elementEnd;
    cursor.end = end;
  }

  #member(field: FieldSchema, oneofCase: string, out: Plain, path: FieldPath | undefined): void {
    const before = out[field.slot];
    if (field.kind !== "message") {
      out[field.slot] = { case: oneofCase, value: this.#scalar(field, path, undefined) };
      return;
    }
    const same = isOpenCase(before) && before.case === oneofCase;
    // A case that another one replaces must be valid too.
    if (isOpenCase(before) && !same) this.#check(before.value, path);
    const pending = this.#pending(field, same ? before.value : undefined);
    out[field.slot] = { case: oneofCase, value: pending };
  }

  #check(replaced: Pending, path: FieldPath | undefined): void {
    const { pos, end } = this.#cursor;
    this.#finish(replaced, path);
    this.#cursor.pos = pos;
    this.#cursor.end = end;
  }

  #pending(field: FieldSchema, before: unknown): Pending {
    const cursor = this.#cursor;
    const end = cursor.delimited();
    const start = cursor.pos;
    cursor.pos = end;
    if (!(before instanceof Pending)) return new Pending(field, start, end);
    (before.more ??= []).push({ start, end });
    return before;
  }

  #finish(pending: Pending, parent: FieldPath | undefined): unknown {
    const { field } = pending;
    if (field.message !== undefined) {
      return this.message(field.message, pending, { parent, name: field.name, index: undefined });
    }
    if (field.kind === "duration") return this.#duration(pending, parent);
    const name = () => fieldText(parent, field.name);
    return decodeValue(this.#cursor.bytes, pending, name, field.merge);
  }

  /** A Duration in milliseconds. A later part of it replaces what an earlier one says. */
  #duration(pending: Pending, parent: FieldPath | undefined): number {
    const { field } = pending;
    const cursor = this.#cursor;
    let seconds: number | undefined = 0;
    let nanos = 0;
    try {
      for (const { start, end } of [pending, ...(pending.more ?? [])]) {
        cursor.pos = start;
        cursor.end = end;
        while (cursor.pos < end) {
          const tag = cursor.tag();
          if (tag === SECONDS_TAG) seconds = cursor.int64();
          else if (tag === NANOS_TAG) nanos = cursor.int32();
          else cursor.skip(tag);
        }
      }
    } catch (error) {
      const path = { parent, name: field.name, index: undefined };
      throw error instanceof WireFault ? malformed(path, "google.protobuf.Duration") : error;
    }
    const ms = seconds === undefined ? undefined : durationMs(seconds, nanos);
    if (ms !== undefined) return ms;
    throw fieldError(
      field.reason,
      fieldText(parent, field.name),
      "is not a valid duration",
      field.may,
    );
  }

  #scalar(field: FieldSchema, path: FieldPath | undefined, index: number | undefined): unknown {
    const cursor = this.#cursor;
    let value: unknown;
    switch (field.kind) {
      case "string":
        value = cursor.string();
        break;
      case "bool":
        return cursor.bool();
      case "int32":
        return cursor.int32();
      case "uint32":
        return cursor.int32() >>> 0;
      case "int64":
        value = cursor.int64();
        break;
      case "id":
        return cursor.id();
      default:
        value = cursor.uint64();
    }
    if (value !== undefined) return value;
    const problem = field.kind === "string" ? "is not valid UTF-8" : "is out of range";
    throw fieldError(field.reason, fieldText(path, field.name, index), problem, field.may);
  }
}

function isOpenCase(held: unknown): held is { case: string; value: Pending } {
  return (
    typeof held === "object" && held !== null && "value" in held && held.value instanceof Pending
  );
}
