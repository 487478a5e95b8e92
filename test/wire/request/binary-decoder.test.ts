import { WireType } from "@bufbuild/protobuf/wire";
import { StructSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  BatchRequestSchema,
  SetRequestSchema,
  SubscribeRequestSchema,
  UpdateRequestSchema,
  WriteRequestSchema,
  WriteResponseSchema,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import { compileBinaryDecoder } from "../../../src/wire/request/binary-decoder.ts";
import { double, field, joined, part, utf8, varint } from "./raw-wire.ts";
import { refusal } from "./refusal.ts";

const decodeSet = compileBinaryDecoder(SetRequestSchema);
const decodeWrite = compileBinaryDecoder(WriteRequestSchema);

describe("the binary decoder", () => {
  test("returns zero values, undefined and empty lists for absent fields", () => {
    expect(decodeSet(utf8(""))).toStrictEqual({
      streamName: "",
      groupId: "",
      itemId: "",
      data: undefined,
      expectedRevision: undefined,
      expectedEpoch: undefined,
      idempotencyKey: undefined,
    });
    expect(compileBinaryDecoder(BatchRequestSchema)(utf8(""))).toMatchObject({
      mutations: [],
      returnValues: false,
    });
    expect(decodeWrite(utf8("")).call.case).toBeUndefined();
  });

  test('distinguishes an expected 0 or "" from an absent one', () => {
    expect(decodeSet(joined(varint(5, 0), part(6)))).toMatchObject({
      expectedRevision: 0,
      expectedEpoch: "",
    });
  });

  test("skips unknown fields of every wire type", () => {
    const unknown = joined(
      varint(100, -1),
      double(101, 1),
      part(102, "x".repeat(300)),
      field(103, WireType.Bit32, Uint8Array.of(1, 2, 3, 4)),
      field(
        104,
        WireType.StartGroup,
        joined(varint(1, 1), field(104, WireType.EndGroup, utf8(""))),
      ),
    );
    expect(decodeSet(joined(unknown, part(1, "a"), unknown)).streamName).toBe("a");
  });

  test("keeps the last of a scalar sent twice", () => {
    const twice = joined(part(1, "a"), varint(5, 1), part(1, "b"), varint(5, 2));
    expect(decodeSet(twice)).toMatchObject({ streamName: "b", expectedRevision: 2 });
  });

  test("merges a message sent twice", () => {
    const decode = compileBinaryDecoder(SubscribeRequestSchema);
    expect(decode(joined(part(4, part(1, "e")), part(4, varint(2, 7)))).resumeFrom).toEqual({
      epoch: "e",
      revision: 7,
    });
  });

  test("merges a Value sent in pieces", () => {
    const member = (key: string, value: number) =>
      part(4, part(5, part(1, part(1, key), part(2, double(2, value)))));
    expect(decodeSet(joined(member("a", 1), member("b", 2), member("a", 3))).data?.json()).toEqual({
      a: 3,
      b: 2,
    });
    expect(decodeSet(joined(part(4), part(4, double(2, 1)))).data?.json()).toBe(1);
  });

  test("merges a case of a oneof sent twice, its Value included", () => {
    const list = (value: number) => part(4, part(6, part(1, double(2, value))));
    const bytes = joined(part(3, part(1, "s"), list(1)), part(3, part(2, "g"), list(2)));
    const { call } = decodeWrite(bytes);
    expect(call).toMatchObject({ case: "set", value: { streamName: "s", groupId: "g" } });
    expect(call.case === "set" && call.value.data?.json()).toEqual([1, 2]);
  });

  test("keeps the last case of a oneof, and checks the one that it replaces", () => {
    const replaced = joined(part(3, part(1, "s")), part(5, part(2, "g")));
    expect(decodeWrite(replaced).call).toMatchObject({
      case: "delete",
      value: { streamName: "", groupId: "g" },
    });
    const error = refusal(() => decodeWrite(joined(part(3, part(4)), part(5), part(1))));
    expect(error).toMatchObject({ reason: "VALUE_INVALID", metadata: { field: "set.data" } });
  });

  test("reads integers of every width", () => {
    const increments = [0n, 1n, -1n, 2n ** 31n, -(2n ** 32n), 2n ** 53n - 1n, -(2n ** 53n) + 1n];
    const ops = increments.map((by) => part(4, part(3, varint(2, by))));
    const decoded = compileBinaryDecoder(UpdateRequestSchema)(joined(...ops)).ops;
    expect(decoded.map(({ op }) => op.case === "increment" && op.value.by)).toEqual(
      increments.map(Number),
    );
  });

  test("reads a flag from any varint", () => {
    expect(decodeWrite(varint(2, 2n ** 40n)).returnValues).toBe(true);
    expect(decodeWrite(Uint8Array.of(0x10, 0x80, 0x00)).returnValues).toBe(false);
  });

  test("keeps a byte order mark, which is a character like any other", () => {
    const long = `\ufeff${"x".repeat(40)}`;
    expect(decodeSet(joined(part(1, "\ufeffa"), part(2, long)))).toMatchObject({
      streamName: "\ufeffa",
      groupId: long,
    });
  });

  test("does not let one request's list leak into the next", () => {
    const decode = compileBinaryDecoder(UpdateRequestSchema);
    expect(decode(part(4)).ops).toHaveLength(1);
    expect(decode(utf8("")).ops).toHaveLength(0);
    expect(decode(joined(part(4), part(4))).ops).toHaveLength(2);
  });

  test("refuses a length beyond the end of its message, even if the bytes exist", () => {
    const overrun = joined(part(7, Uint8Array.of(0x0a, 0x02)), varint(1, 5));
    expect(refusal(() => decodeWrite(overrun))).toMatchObject({
      reason: "REQUEST_INVALID",
      metadata: { field: "batch" },
    });
  });

  test("cannot be compiled for shapes that no request may have", () => {
    for (const desc of [StructSchema, ValueSchema, WriteResponseSchema]) {
      expect(() => compileBinaryDecoder(desc)).toThrow(/no request may/);
    }
  });
});
