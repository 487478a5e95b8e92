import { describe, expect, test } from "vitest";
import {
  BatchRequestSchema,
  ListRequestSchema,
  SetRequestSchema,
  SubscribeRequestSchema,
  UpdateRequestSchema,
  WriteRequestSchema,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import { compileJsonDecoder } from "../../../src/wire/request/json-decoder.ts";
import { closest } from "../../../src/core/spelling.ts";
import { joined, utf8 } from "./raw-wire.ts";

const decodeSet = compileJsonDecoder(SetRequestSchema);

describe("the JSON decoder", () => {
  test("returns zero values, undefined and empty lists for absent and null fields", () => {
    const empty = {
      streamName: "",
      groupId: "",
      itemId: "",
      data: undefined,
      expectedRevision: undefined,
      expectedEpoch: undefined,
      idempotencyKey: undefined,
    };
    expect(decodeSet("{}")).toStrictEqual(empty);
    expect(
      decodeSet('{"streamName":null,"groupId":null,"expectedRevision":null,"expectedEpoch":null}'),
    ).toStrictEqual(empty);
    const decodeBatch = compileJsonDecoder(BatchRequestSchema);
    expect(decodeBatch('{"mutations":null,"returnValues":null}')).toStrictEqual(decodeBatch("{}"));
    expect(
      compileJsonDecoder(SubscribeRequestSchema)('{"resumeFrom":null}').resumeFrom,
    ).toBeUndefined();
    expect(compileJsonDecoder(WriteRequestSchema)('{"set":null,"delete":{}}').call.case).toBe(
      "delete",
    );
  });

  test("distinguishes a null Value, which is the JSON null, from an absent one", () => {
    expect(decodeSet('{"data":null}').data?.json()).toBeNull();
    expect(decodeSet("{}").data).toBeUndefined();
  });

  test("accepts lowerCamelCase and proto names", () => {
    expect(decodeSet('{"stream_name":"a","groupId":"b","expected_revision":"0"}')).toMatchObject({
      streamName: "a",
      groupId: "b",
      expectedRevision: 0,
    });
  });

  test.each<[string, number]>([
    ["7", 7],
    ['"7"', 7],
    ["7.0", 7],
    ["7e2", 700],
    ['"7e2"', 700],
    ['"7.0"', 7],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
    ['"9007199254740991"', Number.MAX_SAFE_INTEGER],
    ["-0", 0],
    ['"-0"', 0],
  ])("accepts the integer %s", (text, expected) => {
    expect(decodeSet(`{"expectedRevision":${text}}`).expectedRevision).toBe(expected);
    expect(compileJsonDecoder(WriteRequestSchema)(`{"requestId":${text}}`).requestId).toBe(
      expected,
    );
  });

  test("accepts negative integers where they are valid", () => {
    expect(compileJsonDecoder(ListRequestSchema)('{"pageSize":"-2147483648"}').pageSize).toBe(
      -2_147_483_648,
    );
    const [op] = compileJsonDecoder(UpdateRequestSchema)('{"ops":[{"increment":{"by":"-5"}}]}').ops;
    expect(op?.op).toMatchObject({ case: "increment", value: { path: "", by: -5 } });
  });

  test("accepts a body with a byte order mark and surrounding whitespace", () => {
    expect(
      decodeSet(joined(Uint8Array.of(0xef, 0xbb, 0xbf), utf8(' {"groupId":"g"}\n'))).groupId,
    ).toBe("g");
  });

  test("keeps a U+FFFD that was sent", () => {
    expect(decodeSet(utf8('{"groupId":"\ufffd"}')).groupId).toBe("\ufffd");
  });

  test("accepts a top-level __proto__ in a merge value, which the reducer refuses", () => {
    const [op] = compileJsonDecoder(UpdateRequestSchema)(
      '{"ops":[{"merge":{"value":{"__proto__":1}}}]}',
    ).ops;
    expect(op?.op.case === "merge" && op.op.value.value?.text).toBe('{"__proto__":1}');
  });

  test("keeps the last of equal keys in a value, as JSON.parse does", () => {
    expect(decodeSet('{"data":{"a":1,"a":2}}').data?.json()).toEqual({ a: 2 });
  });
});

describe("the suggestion for a misspelt name", () => {
  const names = ["stream_name", "group_id", "expected_revision", "expected_epoch"];

  test.each([
    ["streamname", "stream_name"],
    ["stream-name", "stream_name"],
    ["expectedRevison", "expected_revision"],
    ["ExpectedRevisions", "expected_revision"],
    ["grupId", "group_id"],
  ])("for %s is %s", (name, expected) => expect(closest(name, names)).toBe(expected));

  test.each(["", "x", "limit", "x".repeat(100_000)])(
    "is absent for a name unlike all others",
    (name) => {
      expect(closest(name, names)).toBeUndefined();
    },
  );
});
