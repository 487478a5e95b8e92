import { fromJson, toBinary } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Reason, StreamError } from "../../src/core/errors.ts";
import { type Json, MAX_VALUE_BYTES, Value } from "../../src/core/value.ts";

type Checked = { value: Value } | { reason: Reason; message: string; field: string | undefined };

function check(make: () => Value): Checked {
  try {
    return { value: make() };
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    return { reason: error.reason, message: error.message, field: error.metadata["field"] };
  }
}

const of = (json: unknown, field?: string) => check(() => Value.of(json, field));

function nested(levels: number, isArray: (level: number) => boolean): Json {
  let json: Json = 1;
  for (let level = levels; level > 0; level--) json = isArray(level) ? [json] : { a: json };
  return json;
}

function protoBytes(json: Json): number {
  return toBinary(ValueSchema, fromJson(ValueSchema, json as never)).length;
}

describe("a value", () => {
  const accepted: [string, unknown, string][] = [
    ["null", null, "null"],
    ["a boolean", false, "false"],
    ["a number", 1.5, "1.5"],
    ["the largest double", Number.MAX_VALUE, "1.7976931348623157e+308"],
    ["minus zero, as zero", -0, "0"],
    ["an empty string", "", '""'],
    ["a string beyond the BMP", "\u{1F600}", '"\u{1F600}"'],
    ["control characters", "\u0000\n", String.raw`"\u0000\n"`],
    ["empty containers", [{}, []], "[{},[]]"],
    [
      "an object without prototype",
      Object.assign(Object.create(null) as object, { a: 1 }),
      '{"a":1}',
    ],
    ["an empty key", { "": 1 }, '{"":1}'],
    [
      "keys that objects inherit",
      { constructor: 1, prototype: 2, toString: 3 },
      '{"constructor":1,"prototype":2,"toString":3}',
    ],
    ["a key toJSON that is data", { toJSON: "x" }, '{"toJSON":"x"}'],
  ];
  test.each(accepted)("may be %s", (_title, json, text) => {
    const checked = of(json);
    expect(checked).toMatchObject({ value: { text } });
  });

  const refused: [string, () => unknown, RegExp][] = [
    ["missing", () => undefined, /^data is missing; it may be any JSON value/],
    ["an undefined member", () => ({ a: undefined }), /undefined member/],
    ["an undefined element", () => [undefined], /undefined member/],
    ["a hole", () => [1, , 2], /undefined member/], // oxlint-disable-line no-sparse-arrays
    ["NaN", () => ({ a: Number.NaN }), /not finite/],
    ["infinity", () => [Number.POSITIVE_INFINITY], /not finite/],
    ["minus infinity", () => Number.NEGATIVE_INFINITY, /not finite/],
    ["a bigint", () => 1n, /has a bigint/],
    ["a symbol", () => Symbol("s"), /has a symbol/],
    ["a function", () => ({ a: () => 1 }), /has a function/],
    ["a date", () => new Date(0), /toJSON/],
    ["a map", () => new Map(), /not plain JSON/],
    ["a boxed string", () => Object("s") as unknown, /not plain JSON/],
    ["an instance of a class", () => new (class Point {})(), /not plain JSON/],
    ["an array with a toJSON method", () => Object.assign([1], { toJSON: () => "x" }), /toJSON/],
    [
      "an object with a hidden toJSON method",
      () => Object.defineProperty({ a: 1 }, "toJSON", { value: () => "x" }),
      /toJSON/,
    ],
    ["a lone high surrogate", () => "\ud83d", /not valid Unicode/],
    ["a lone low surrogate", () => ({ a: ["\ude00x"] }), /not valid Unicode/],
    ["swapped surrogates", () => "\ude00\ud83d", /not valid Unicode/],
    ["a key that is not valid Unicode", () => ({ "\ud83d": 1 }), /key that is not valid Unicode/],
    ["a key __proto__", () => JSON.parse('{"__proto__":1}') as unknown, /key __proto__/],
    [
      "a key __proto__ inside",
      () => JSON.parse('[{"a":{"__proto__":{}}}]') as unknown,
      /key __proto__/,
    ],
  ];
  test.each(refused)("may not be or have %s", (_title, make, message) => {
    expect(of(make())).toMatchObject({ reason: "VALUE_INVALID", field: "data" });
    expect(of(make())).toHaveProperty("message", expect.stringMatching(message));
  });

  test("has the caller's name for it in the message and the metadata", () => {
    expect(of(undefined, "ops[2].value")).toMatchObject({
      field: "ops[2].value",
      message: expect.stringMatching(/^ops\[2\]\.value is missing; it may be /) as string,
    });
  });

  test.each([
    ["arrays", () => true],
    ["objects", () => false],
    ["both", (level: number) => level % 2 === 0],
  ])("may have 30 levels of %s, not 31", (_title, isArray) => {
    expect(of(nested(30, isArray))).toHaveProperty("value");
    expect(of(nested(31, isArray))).toMatchObject({ reason: "VALUE_TOO_DEEP", field: "data" });
  });

  test("counts empty containers as levels", () => {
    expect(check(() => Value.parse("[".repeat(30) + "]".repeat(30)))).toHaveProperty("value");
    expect(check(() => Value.parse("[".repeat(31) + "]".repeat(31)))).toMatchObject({
      reason: "VALUE_TOO_DEEP",
    });
  });

  test("of a hundred thousand levels is refused without overflowing the stack", () => {
    const text = "[".repeat(100_000) + "]".repeat(100_000);
    expect(check(() => Value.parse(text))).toMatchObject({ reason: "VALUE_TOO_DEEP" });
  });

  test("that contains itself is refused", () => {
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    expect(of(cyclic)).toMatchObject({ reason: "VALUE_TOO_DEEP" });
  });

  test("that repeats one object many times is refused without a full walk", () => {
    let json: unknown = 1;
    for (let level = 0; level < 30; level++) json = Array<unknown>(50).fill(json);
    expect(of(json)).toMatchObject({ reason: "VALUE_TOO_LARGE" });
  });
});

describe("the size of a value", () => {
  test("is the larger of its JSON text and its google.protobuf.Value", () => {
    expect(Value.of("\u0000".repeat(10)).size).toBe('"'.length * 2 + 60);
    expect(Value.of(Array<number>(10).fill(1)).size).toBe(protoBytes(Array<number>(10).fill(1)));
  });

  test("may be exactly 1 MiB as JSON text, not a byte more", () => {
    // Six bytes of text for each character, so that the text is the larger form.
    const escapes = "\u0001".repeat(Math.floor((MAX_VALUE_BYTES - 2) / 6));
    const fill = "x".repeat(MAX_VALUE_BYTES - 2 - escapes.length * 6);
    expect(Value.of(escapes + fill).size).toBe(MAX_VALUE_BYTES);
    expect(of(`${escapes}${fill}x`)).toMatchObject({
      reason: "VALUE_TOO_LARGE",
      field: "data",
      message: `data is too large; it may have up to ${MAX_VALUE_BYTES} bytes as JSON text.`,
    });
  });

  test("may be exactly 1 MiB as google.protobuf.Value, not a byte more", () => {
    // A tag and a length of three bytes before the string.
    const text = "x".repeat(MAX_VALUE_BYTES - 4);
    expect(protoBytes(text)).toBe(MAX_VALUE_BYTES);
    expect(Value.of(text).size).toBe(MAX_VALUE_BYTES);
    expect(of(`${text}x`)).toMatchObject({
      reason: "VALUE_TOO_LARGE",
      message: `data is too large; it may have up to ${MAX_VALUE_BYTES} bytes as an encoded google.protobuf.Value.`,
    });
  });

  test("counts UTF-8 bytes, not characters", () => {
    const text = "€".repeat((MAX_VALUE_BYTES - 4) / 3);
    expect(Value.of(text).size).toBe(MAX_VALUE_BYTES);
    expect(of(`${text}x`)).toMatchObject({ reason: "VALUE_TOO_LARGE" });
  });

  test("of many small members is counted as they travel", () => {
    const list = Array<number>(95_324).fill(1);
    expect(protoBytes(list)).toBeLessThanOrEqual(MAX_VALUE_BYTES);
    expect(Value.of(list).size).toBe(protoBytes(list));
    expect(of([...list, 1])).toMatchObject({ reason: "VALUE_TOO_LARGE" });
  });

  test("is what an encoder of google.protobuf.Value writes", () => {
    const string = fc.oneof(
      fc.string({ unit: "binary", maxLength: 20 }),
      // Lengths around which the length prefix grows.
      fc
        .tuple(
          fc.constantFrom("x", "é", "€", "\u{1F600}"),
          fc.constantFrom(30, 60, 63, 126, 127, 128, 16_380, 16_384),
        )
        .map(([unit, count]) => unit.repeat(count)),
    );
    const json = fc.letrec<{ json: Json }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<Json>(null, true, false),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        string,
        fc.array(tie("json"), { maxLength: 6 }),
        fc.dictionary(
          string.filter((key) => key !== "__proto__"),
          tie("json"),
          { maxKeys: 6, noNullPrototype: true },
        ),
      ),
    })).json;
    fc.assert(
      fc.property(json, (value) => {
        const { text, size } = Value.of(value);
        expect(size).toBe(Math.max(Buffer.byteLength(text), protoBytes(value)));
      }),
      { numRuns: 150 },
    );
  });
});

describe("JSON text", () => {
  test.each([
    [
      "is kept in its canonical form",
      ' { "a" : 1.0 , "a" : 2e0, "b":"\\u00e9" } ',
      '{"a":2,"b":"é"}',
    ],
    ["of minus zero is zero", "-0.0", "0"],
  ])("%s", (_title, text, canonical) => {
    expect(Value.parse(text).text).toBe(canonical);
  });

  test.each([
    ["nothing", "", /is not JSON/],
    ["half a value", '{"a":', /is not JSON/],
    ["two values", "1 2", /is not JSON/],
    ["NaN", "NaN", /is not JSON/],
    ["a number too large for a double", "1e400", /not finite/],
    ["an escaped lone surrogate", String.raw`"\ud83d"`, /not valid Unicode/],
    ["an escaped key __proto__", String.raw`{"\u005f_proto__":1}`, /key __proto__/],
  ])("of %s is refused", (_title, text, message) => {
    expect(check(() => Value.parse(text))).toMatchObject({ reason: "VALUE_INVALID" });
    expect(() => Value.parse(text)).toThrow(message);
  });

  test("is parsed into a new object for every reader", () => {
    const value = Value.of({ a: [1] });
    (value.json() as { a: number[] }).a.push(2);
    expect(value.json()).toStrictEqual({ a: [1] });
    expect(value.text).toBe('{"a":[1]}');
  });

  test("and size are read back from a store unchanged", () => {
    const { text, size } = Value.of({ a: 1 });
    expect(Value.trusted(text, size)).toStrictEqual(Value.of({ a: 1 }));
  });
});

describe("the value of a merge step", () => {
  const merge = (text: string) => check(() => Value.ofMergeValue(JSON.parse(text), "ops[0].value"));

  test("may have a top-level key __proto__, and keeps it", () => {
    const text = '{"a":1,"__proto__":{"b":2}}';
    const checked = merge(text);
    expect(checked).toMatchObject({ value: { text } });
    const json = Value.ofMergeValue(JSON.parse(text), "value").json() as object;
    expect(Object.keys(json)).toStrictEqual(["a", "__proto__"]);
  });

  test.each([
    ['{"a":{"__proto__":1}}'],
    ['{"__proto__":{"__proto__":1}}'],
    ['[{"__proto__":1}]'],
    ['{"__proto__":"\\ud83d"}'],
  ])("is otherwise checked like any value: %s", (text) => {
    expect(merge(text)).toMatchObject({ reason: "VALUE_INVALID", field: "ops[0].value" });
  });
});
