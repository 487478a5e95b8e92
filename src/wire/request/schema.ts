import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { Reason } from "../../core/errors.ts";

/**
 * Kinds of request fields. An `id` is a uint64 of any size that the caller chooses; a `duration` is
 * in milliseconds, with a fraction where it has one.
 */
export type FieldKind =
  | "string"
  | "bool"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64"
  | "id"
  | "value"
  | "duration"
  | "message";

/** What both decoders know about a field. */
export interface FieldSchema {
  readonly number: number;
  /** Proto name, used in errors. */
  readonly name: string;
  readonly jsonName: string;
  /** Property of the decoded form that holds the field or its oneof. */
  readonly slot: string;
  /** Name of the case if the field is in a oneof. */
  readonly oneofCase: string | undefined;
  readonly kind: FieldKind;
  readonly repeated: boolean;
  /** Present for kind `message`. */
  readonly message: MessageSchema | undefined;
  /** For kind `value`: whether it is the value of a merge operation. */
  readonly merge: boolean;
  /** The reason to refuse content of the wrong form. */
  readonly reason: Reason;
  /** What the field may be, for errors. */
  readonly may: string;
}

/** What both decoders know about a message. */
export interface MessageSchema {
  readonly typeName: string;
  readonly fields: readonly FieldSchema[];
  /** By number. */
  readonly byNumber: readonly (FieldSchema | undefined)[];
  /** By JSON name and proto name. */
  readonly byName: ReadonlyMap<string, FieldSchema>;
  /** The decoded form of an empty message. */
  readonly empty: Readonly<Record<string, unknown>>;
  /**
   * Properties that hold a message, a Value or a oneof of messages; not those of repeated fields.
   */
  readonly nestedSlots: readonly string[];
  /** The reason to refuse JSON of the wrong type. */
  readonly reason: Reason;
  /** The reason to refuse an unknown JSON name. */
  readonly unknownReason: Reason;
}

const VALUE_TYPE = "google.protobuf.Value";
const DURATION_TYPE = "google.protobuf.Duration";
const OP_TYPE = "millrace.v1.UpdateOp";
const IDS: ReadonlySet<string> = new Set(["request_id"]);
const NAMES: ReadonlySet<string> = new Set(["stream_name", "group_id", "item_id"]);

const KINDS: ReadonlyMap<ScalarType, FieldKind> = new Map<ScalarType, FieldKind>([
  [ScalarType.STRING, "string"],
  [ScalarType.BOOL, "bool"],
  [ScalarType.INT32, "int32"],
  [ScalarType.UINT32, "uint32"],
  [ScalarType.INT64, "int64"],
  [ScalarType.UINT64, "uint64"],
]);

const ZERO: Readonly<Record<FieldKind, unknown>> = {
  string: "",
  bool: false,
  int32: 0,
  uint32: 0,
  int64: 0,
  uint64: 0,
  id: 0,
  value: undefined,
  duration: undefined,
  message: undefined,
};

const MAY: Readonly<Record<FieldKind, string>> = {
  string: "valid Unicode text",
  bool: "true or false",
  int32: "an integer within ±(2^31-1)",
  uint32: "an integer from 0 to 2^32-1",
  int64: "an integer within ±(2^53-1)",
  uint64: "an integer from 0 to 2^53-1",
  id: "an integer from 0 to 2^64-1, as a string when it is over 2^53-1",
  value: "any JSON value",
  duration: 'a google.protobuf.Duration within ±10,000 years, in JSON such as "1.5s"',
  message: "an object",
};

const MAY_NAME = "1 to 256 bytes of UTF-8 without control characters";

/**
 * Compiles a descriptor for both decoders.
 *
 * @throws Error for shapes that requests must not have (maps, enums, floats, bytes, repeated or
 *   oneof Values and Durations, recursive messages): an error of the proto files, not of a request.
 */
export function messageSchema(desc: DescMessage): MessageSchema {
  return buildMessage(desc, []);
}

function buildMessage(desc: DescMessage, outer: readonly string[]): MessageSchema {
  if (outer.includes(desc.typeName))
    throw new Error(`${desc.typeName} is recursive, which no request may be.`);
  const path = [...outer, desc.typeName];
  const fields = desc.fields.map((field) => buildField(field, path));
  const byNumber: FieldSchema[] = [];
  const byName = new Map<string, FieldSchema>();
  const empty: Record<string, unknown> = {};
  const nested = new Set<string>();
  for (const field of fields) {
    byNumber[field.number] = field;
    byName.set(field.jsonName, field).set(field.name, field);
    if (field.oneofCase !== undefined) empty[field.slot] = Object.freeze({ case: undefined });
    else if (field.repeated) empty[field.slot] = Object.freeze([]);
    else
      empty[field.slot] =
        desc.field[field.slot]?.proto.proto3Optional === true ? undefined : ZERO[field.kind];
    if (!field.repeated && isNested(field)) nested.add(field.slot);
  }
  return {
    typeName: desc.typeName,
    fields,
    // Filled, because a lookup in an array with holes is slower.
    byNumber: Array.from(byNumber, (field: FieldSchema | undefined) => field),
    byName,
    empty,
    nestedSlots: [...nested],
    reason: path.includes(OP_TYPE) ? "OP_MALFORMED" : "REQUEST_INVALID",
    unknownReason: desc.typeName === OP_TYPE ? "OP_MALFORMED" : "REQUEST_INVALID",
  };
}

function buildField(field: DescField, path: readonly string[]): FieldSchema {
  const desc =
    field.fieldKind === "message" || field.fieldKind === "list" ? field.message : undefined;
  const scalar =
    field.fieldKind === "scalar" || field.fieldKind === "list" ? field.scalar : undefined;
  const repeated = field.fieldKind === "list";
  const isValue = desc?.typeName === VALUE_TYPE;
  const kind = desc === undefined ? scalarKind(field.name, scalar) : messageKind(desc);
  const isLeaf = kind === "value" || kind === "duration";
  const unsupported =
    kind === undefined ||
    (isLeaf && (repeated || field.oneof !== undefined)) ||
    (repeated && kind !== "string" && kind !== "message");
  if (unsupported) throw new Error(`${field.toString()} has a type that no request may have.`);
  const inOp = path.includes(OP_TYPE);
  const isName = kind === "string" && NAMES.has(field.name);
  return {
    number: field.number,
    name: field.name,
    jsonName: field.jsonName,
    slot: field.oneof?.localName ?? field.localName,
    oneofCase: field.oneof === undefined ? undefined : field.localName,
    kind,
    repeated,
    message: kind === "message" && desc !== undefined ? buildMessage(desc, path) : undefined,
    merge: isValue && path.at(-1) === `${OP_TYPE}.Merge`,
    reason: isName ? "NAME_INVALID" : inOp ? "OP_MALFORMED" : "REQUEST_INVALID",
    may: isName ? MAY_NAME : MAY[kind],
  };
}

/** Whether a field is a message on the wire. */
export function isNested({ kind }: FieldSchema): boolean {
  return kind === "message" || kind === "value" || kind === "duration";
}

function messageKind({ typeName }: DescMessage): FieldKind {
  if (typeName === VALUE_TYPE) return "value";
  return typeName === DURATION_TYPE ? "duration" : "message";
}

function scalarKind(name: string, scalar: ScalarType | undefined): FieldKind | undefined {
  const kind = scalar === undefined ? undefined : KINDS.get(scalar);
  return kind === "uint64" && IDS.has(name) ? "id" : kind;
}
