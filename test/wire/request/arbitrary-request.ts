import {
  type DescField,
  type DescMessage,
  type JsonValue,
  type Message,
  ScalarType,
  create,
  fromJson,
} from "@bufbuild/protobuf";
import { DurationSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { type Json, Value } from "../../../src/core/value.ts";
import { arbitraryJson } from "./arbitrary-json.ts";

/** A request in two forms: that of protobuf-es and that which the decoders must return. */
export interface TwinRequest {
  readonly message: Message;
  /** Values are `{json, size}`, see `plain`. */
  readonly plain: unknown;
}

type Twin = readonly [stock: unknown, plain: unknown];

const VALUE_TYPE = "google.protobuf.Value";
const DURATION_TYPE = "google.protobuf.Duration";

/** Any message of the type, with any of its fields. */
export function arbitraryRequest(desc: DescMessage): fc.Arbitrary<TwinRequest> {
  return messageTwin(desc).map(([message, plain]) => ({ message: message as Message, plain }));
}

/** A decoded request in the form of `TwinRequest.plain`: with JSON text and size for Values. */
export function plain(decoded: unknown): unknown {
  if (decoded instanceof Value) return { json: JSON.stringify(decoded.json()), size: decoded.size };
  if (Array.isArray(decoded)) return decoded.map(plain);
  if (typeof decoded !== "object" || decoded === null) return decoded;
  return Object.fromEntries(Object.entries(decoded).map(([key, member]) => [key, plain(member)]));
}

function messageTwin(desc: DescMessage): fc.Arbitrary<Twin> {
  const members = desc.members.map((member): [string, fc.Arbitrary<Twin>] => {
    if (member.kind === "field") return [member.localName, fieldTwin(member)];
    const cases = member.fields.map((field) =>
      contentTwin(field).map(([stock, own]): Twin => {
        const name = field.localName;
        return [
          { case: name, value: stock },
          { case: name, value: own },
        ];
      }),
    );
    const none: Twin = [{ case: undefined }, { case: undefined }];
    return [member.localName, fc.oneof(fc.constant(none), ...cases)];
  });
  return fc.record(Object.fromEntries(members)).map((record): Twin => {
    const pick = (side: 0 | 1) =>
      Object.fromEntries(Object.entries(record).map(([name, twin]) => [name, twin[side]]));
    return [create(desc, pick(0)), pick(1)];
  });
}

function fieldTwin(field: DescField): fc.Arbitrary<Twin> {
  if (field.fieldKind === "list") {
    return fc
      .array(contentTwin(field), { maxLength: 4 })
      .map((items): Twin => [items.map(([stock]) => stock), items.map(([, own]) => own)]);
  }
  const maybe = field.fieldKind === "message" || field.proto.proto3Optional;
  const none: Twin = [undefined, undefined];
  return maybe ? fc.oneof(fc.constant(none), contentTwin(field)) : contentTwin(field);
}

function contentTwin(field: DescField): fc.Arbitrary<Twin> {
  if (
    (field.fieldKind === "message" || field.fieldKind === "list") &&
    field.message !== undefined
  ) {
    switch (field.message.typeName) {
      case VALUE_TYPE:
        return valueTwin();
      case DURATION_TYPE:
        return durationTwin();
      default:
        return messageTwin(field.message);
    }
  }
  if (field.fieldKind !== "scalar" && field.fieldKind !== "list")
    throw new Error(`unexpected ${field.toString()}`);
  switch (field.scalar) {
    case ScalarType.STRING:
      return same(fc.string({ unit: "binary", maxLength: 40 }));
    case ScalarType.BOOL:
      return same(fc.boolean());
    case ScalarType.INT32:
      return same(fc.integer());
    case ScalarType.INT64:
      return fc.oneof(fc.maxSafeInteger(), fc.integer()).map((each): Twin => [BigInt(each), each]);
    case ScalarType.UINT64:
      return fc.oneof(fc.maxSafeNat(), fc.nat(300)).map((each): Twin => [BigInt(each), each]);
    default:
      throw new Error(`unexpected ${field.toString()}`);
  }
}

function same(scalar: fc.Arbitrary<unknown>): fc.Arbitrary<Twin> {
  return scalar.map((each): Twin => [each, each]);
}

/** In milliseconds, which a decoded request has with their fraction. */
function durationTwin(): fc.Arbitrary<Twin> {
  return fc
    .record({
      seconds: fc.oneof(fc.nat(3_600), fc.nat(315_576_000_000)),
      nanos: fc.oneof(
        fc.constant(0),
        fc.nat(999).map((ms) => ms * 1_000_000),
        fc.nat(999_999_999),
      ),
      isNegative: fc.boolean(),
    })
    .map(({ seconds, nanos, isNegative }): Twin => {
      const sign = isNegative ? -1 : 1;
      const duration = create(DurationSchema, {
        seconds: BigInt(sign * seconds),
        nanos: sign * nanos,
      });
      const ms = sign * (seconds * 1000 + nanos / 1_000_000);
      return [duration, ms + 0];
    });
}

function valueTwin(): fc.Arbitrary<Twin> {
  return arbitraryJson.map((json: Json): Twin => [
    fromJson(ValueSchema, json as JsonValue),
    { json: JSON.stringify(json), size: Value.of(json).size },
  ]);
}
