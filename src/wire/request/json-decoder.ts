import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { durationTextMs } from "../../core/duration.ts";
import { StreamError } from "../../core/errors.ts";
import { Value } from "../../core/value.ts";
import { type FieldPath, fieldError, fieldText, located, pathText } from "./errors.ts";
import { type FieldSchema, type MessageSchema, messageSchema } from "./schema.ts";
import { closest } from "../../core/spelling.ts";
import type { Decoded } from "./decoded.ts";
import { withoutTooDeep } from "../../core/nesting.ts";

type Plain = Record<string, unknown>;

const INT32_MAX = 0x7fff_ffff;
const UINT32_MAX = 0xffff_ffff;
const UINT64_MAX = 2n ** 64n - 1n;
const LARGE_ID = /^\d{16,20}$/;
/** Numbers in strings, as the proto3 JSON mapping allows them. */
const NUMBER = /^-?\d{1,32}(?:\.\d{1,32})?(?:[eE][+-]?\d{1,3})?$/;

const encoder = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });
const lenientUtf8 = new TextDecoder("utf-8");
/**
 * Replaces bytes that are not UTF-8, so that the check of the field that contains them refuses
 * them.
 */
const LONE_SURROGATE = "\ud800";

/**
 * Compiles a decoder of the JSON form of a message (the proto3 JSON mapping).
 *
 * Both lowerCamelCase and proto names are accepted, 64-bit integers as strings or numbers, null as
 * absent (except that a null Value is the JSON null). Unknown fields are refused, because a
 * misspelt `expectedRevision` must not become an unconditional write.
 *
 * The decoder throws StreamError: REQUEST_INVALID for text that is not the message and for content
 * of the wrong form, except NAME_INVALID for names, OP_MALFORMED inside update operations, and the
 * reasons of `Value` for values. Its metadata names the field, and in a batch the mutation's
 * `index`.
 */
export function compileJsonDecoder<Desc extends DescMessage>(
  desc: Desc,
): (body: Uint8Array | string) => Decoded<MessageShape<Desc>> {
  const decode = compileParsedJsonDecoder(desc);
  return (body) => {
    const { json, isUtf8 } = parseBody(body);
    const decoded = decode(json);
    // The invalid bytes were in text that no field kept, such as a field that a duplicate replaced.
    if (!isUtf8) throw notUtf8();
    return decoded;
  };
}

/**
 * Compiles a decoder as compileJsonDecoder does, for JSON that is parsed already: a part of a frame.
 * The JSON must not nest deeper than MAX_NESTING.
 */
export function compileParsedJsonDecoder<Desc extends DescMessage>(
  desc: Desc,
): (json: unknown) => Decoded<MessageShape<Desc>> {
  const schema = messageSchema(desc);
  return (json) => {
    try {
      return message(schema, json, undefined) as Decoded<MessageShape<Desc>>;
    } catch (error) {
      throw located(error);
    }
  };
}

/** Parses a body. Unless `isUtf8`, lone surrogates stand where its bytes are not UTF-8. */
function parseBody(body: Uint8Array | string): { json: unknown; isUtf8: boolean } {
  let text: string;
  let isUtf8 = true;
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  // Excessive depth is cut off; what is left is deep enough for its field to be refused by name.
  const shallow = withoutTooDeep(bytes);
  // Lone surrogates have no UTF-8 form, so an intact string is not encoded.
  if (typeof body === "string" && shallow === bytes) text = body;
  else {
    try {
      text = strictUtf8.decode(shallow);
    } catch {
      isUtf8 = false;
      text = lenientUtf8.decode(shallow).replaceAll("\ufffd", LONE_SURROGATE);
    }
  }
  try {
    return { json: JSON.parse(text) as unknown, isUtf8 };
  } catch {
    throw isUtf8
      ? new StreamError(
          "REQUEST_INVALID",
          "The request is not JSON; it may be a JSON object in UTF-8.",
        )
      : notUtf8();
  }
}

function notUtf8(): StreamError {
  return new StreamError(
    "REQUEST_INVALID",
    "The request is not valid UTF-8; it may be a JSON object in UTF-8.",
  );
}

function message(schema: MessageSchema, json: unknown, path: FieldPath | undefined): Plain {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw notAnObject(schema, path);
  const out: Plain = { ...schema.empty };
  const seen = new Map<string, FieldSchema>();
  for (const [name, content] of Object.entries(json) as [string, unknown][]) {
    const field = schema.byName.get(name);
    if (field === undefined) throw unknownField(schema, name, path);
    claim(seen, field.name, field, path);
    if (content === null && field.kind !== "value") continue;
    if (field.oneofCase !== undefined) claim(seen, `oneof ${field.slot}`, field, path);
    const value = field.repeated
      ? list(field, content, path)
      : single(field, content, path, undefined);
    out[field.slot] = field.oneofCase === undefined ? value : { case: field.oneofCase, value };
  }
  return out;
}

/** Refuses a second value for one field or oneof. */
function claim(
  seen: Map<string, FieldSchema>,
  key: string,
  field: FieldSchema,
  path: FieldPath | undefined,
): void {
  const before = seen.get(key);
  seen.set(key, field);
  if (before === undefined) return;
  const name = fieldText(path, field.name);
  if (before === field) throw fieldError("REQUEST_INVALID", name, "is given twice", "given once");
  throw fieldError(field.reason, name, `is given together with ${before.name}`, "given alone");
}

function list(
  field: FieldSchema,
  content: unknown,
  path: FieldPath | undefined,
): readonly unknown[] {
  if (!Array.isArray(content)) {
    throw fieldError(
      field.reason,
      fieldText(path, field.name),
      `is ${describe(content)}`,
      "an array",
    );
  }
  return content.map((element: unknown, index) => single(field, element, path, index));
}

function single(
  field: FieldSchema,
  content: unknown,
  parent: FieldPath | undefined,
  index: number | undefined,
): unknown {
  switch (field.kind) {
    case "string":
      if (typeof content === "string" && content.isWellFormed()) return content;
      break;
    case "bool":
      if (typeof content === "boolean") return content;
      break;
    case "int32":
      return integer(field, content, -INT32_MAX - 1, INT32_MAX, parent);
    case "uint32":
      return integer(field, content, 0, UINT32_MAX, parent);
    case "int64":
      return integer(field, content, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, parent);
    case "uint64":
      return integer(field, content, 0, Number.MAX_SAFE_INTEGER, parent);
    case "id":
      return largeId(content) ?? integer(field, content, 0, Number.MAX_SAFE_INTEGER, parent);
    case "duration": {
      const ms = typeof content === "string" ? durationTextMs(content) : undefined;
      if (ms !== undefined) return ms;
      break;
    }
    case "value": {
      const name = fieldText(parent, field.name);
      return field.merge ? Value.ofMergeValue(content, name) : Value.of(content, name);
    }
    default:
      if (field.message !== undefined && content !== null) {
        return message(field.message, content, { parent, name: field.name, index });
      }
  }
  throw wrong(field, content, parent, index);
}

function integer(
  field: FieldSchema,
  content: unknown,
  least: number,
  most: number,
  parent: FieldPath | undefined,
): number {
  const number = typeof content === "string" && NUMBER.test(content) ? Number(content) : content;
  if (typeof number === "number" && Number.isInteger(number) && number >= least && number <= most) {
    // -0 becomes 0.
    return number + 0;
  }
  throw wrong(field, content, parent, undefined);
}

/** A request id over 2^53-1; undefined for other content. */
function largeId(content: unknown): bigint | undefined {
  if (typeof content !== "string" || !LARGE_ID.test(content)) return undefined;
  const id = BigInt(content);
  return id > Number.MAX_SAFE_INTEGER && id <= UINT64_MAX ? id : undefined;
}

function wrong(
  field: FieldSchema,
  content: unknown,
  parent: FieldPath | undefined,
  index: number | undefined,
): StreamError {
  const name = fieldText(parent, field.name, index);
  return fieldError(field.reason, name, `is ${describe(content)}`, field.may);
}

/** Describes the content, short enough for an error. */
function describe(content: unknown): string {
  switch (typeof content) {
    case "string":
      if (!content.isWellFormed()) return "not valid Unicode";
      return content.length > 40 ? "a string" : `the string ${JSON.stringify(content)}`;
    case "number":
    case "boolean":
      return String(content);
    default:
      return content === null ? "null" : Array.isArray(content) ? "an array" : "an object";
  }
}

function notAnObject(schema: MessageSchema, path: FieldPath | undefined): StreamError {
  if (path === undefined) {
    return new StreamError(
      "REQUEST_INVALID",
      "The request is not a JSON object; it may be a JSON object in UTF-8.",
    );
  }
  return fieldError(schema.reason, pathText(path), "is not an object", "a JSON object");
}

function unknownField(
  schema: MessageSchema,
  name: string,
  path: FieldPath | undefined,
): StreamError {
  const shown = name.isWellFormed() && name.length <= 64 ? name : "(not shown)";
  const field = fieldText(path, shown);
  const known = schema.fields.map((each) => each.name);
  const suggestion = closest(name, known);
  const hint = suggestion === undefined ? "" : ` Did you mean ${suggestion}?`;
  const choice =
    known.length === 0 ? "The message has no fields." : `The fields are ${known.join(", ")}.`;
  return new StreamError(schema.unknownReason, `${field} is not a known field.${hint} ${choice}`, {
    metadata: { field },
  });
}
