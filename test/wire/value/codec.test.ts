import { type JsonValue, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import { type Json, Value } from "../../../src/core/value.ts";
import { decodeValue, encodeValue } from "../../../src/wire/value/codec.ts";
import { CanonicalReader } from "../../../src/wire/value/fast-reader.ts";
import { decodeTolerant } from "../../../src/wire/value/general-reader.ts";
import { arbitraryJson } from "../request/arbitrary-json.ts";
import { double, joined, nestedLists, nestedStructs, part, varint } from "../request/raw-wire.ts";
import { refusal } from "../request/refusal.ts";

/** JSON as protobuf-es encodes it. */
const stockBytes = (json: Json) => toBinary(ValueSchema, fromJson(ValueSchema, json as JsonValue));
/** Bytes as protobuf-es decodes them; undefined when it refuses them. */
function stockJson(bytes: Uint8Array): { json: JsonValue } | undefined {
  try {
    return { json: toJson(ValueSchema, fromBinary(ValueSchema, bytes)) };
  } catch {
    return undefined;
  }
}
/** The range of all bytes. */
const whole = (bytes: Uint8Array) => ({ start: 0, end: bytes.length, more: undefined });
const decode = (bytes: Uint8Array, field = "data") =>
  decodeValue(bytes, whole(bytes), () => field, false);
/** JSON text of the fast reader; undefined when it leaves the bytes to the general reader. */
const fastText = (bytes: Uint8Array) => new CanonicalReader().text(bytes, 0, bytes.length);
const general = (bytes: Uint8Array) => decodeTolerant(bytes, whole(bytes), "data", false);
const entry = (key: string, value: Uint8Array) => part(1, part(1, key), part(2, value));
const num = (value: number) => double(2, value);

describe("decodeValue", () => {
  test("reads what protobuf-es writes, with the text and size of Value.of", () => {
    fc.assert(
      fc.property(arbitraryJson, (json) => {
        const expected = Value.of(json);
        for (const value of [decode(stockBytes(json)), general(stockBytes(json))]) {
          expect(value.json()).toEqual(json);
          expect(value.size).toBe(expected.size);
          expect(value.text.length).toBe(expected.text.length);
        }
      }),
    );
  });

  test("uses the fast reader for all that encoders write, the largest and deepest included", () => {
    const wide = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`key ${i}`, i]));
    const controls = "\u0001".repeat(150_000);
    for (const json of [
      wide,
      [wide, { wide }],
      { a: { b: 1 }, b: { a: { b: 2 } } },
      controls,
      "x".repeat(1024 * 1024 - 4),
      "ü".repeat(500_000),
    ]) {
      const bytes = stockBytes(json);
      expect(fastText(bytes)).toBe(JSON.stringify(json));
    }
    for (const bytes of [nestedLists(30), nestedStructs(30)]) {
      expect(fastText(bytes)).toBe(JSON.stringify(stockJson(bytes)?.json));
    }
  });

  test("reads a range in the middle of other bytes", () => {
    const bytes = stockBytes({ a: [1, "ü"] });
    const around = joined(Uint8Array.of(1, 2, 3), bytes, Uint8Array.of(4));
    const range = { start: 3, end: 3 + bytes.length, more: undefined };
    const value = decodeValue(around, range, () => "data", false);
    expect(value.json()).toEqual({ a: [1, "ü"] });
    expect(encodeValue(value)).toEqual(bytes);
  });

  test.each<[string, Uint8Array, Json]>([
    [
      "the last of equal keys wins",
      part(5, entry("a", num(1)), entry("b", num(2)), entry("a", num(3))),
      { a: 3, b: 2 },
    ],
    ['an entry without a key has the key ""', part(5, part(1, part(2, num(1)))), { "": 1 }],
    [
      "the value may come before the key",
      part(5, part(1, part(2, num(1)), part(1, "k"))),
      { k: 1 },
    ],
    ["the last kind wins", joined(num(1), part(3, "text"), varint(4, 1)), true],
    ["any number of the null enum is null", varint(1, 7), null],
    ["any varint but 0 is true", varint(4, 2), true],
    ["unknown fields are skipped", joined(varint(90, 5), num(4), part(91, "x")), 4],
    [
      "objects in pieces are merged",
      joined(part(5, entry("a", num(1))), part(5, entry("b", num(2)))),
      { a: 1, b: 2 },
    ],
    [
      "arrays in pieces are joined",
      joined(part(6, part(1, num(1))), part(6, part(1, num(2)))),
      [1, 2],
    ],
    [
      "another kind in between starts over",
      joined(part(6, part(1, num(1))), num(0), part(6, part(1, num(2)))),
      [2],
    ],
    [
      "an entry's value in pieces is merged",
      part(5, part(1, part(2, part(6, part(1, num(1)))), part(2, part(6)))),
      { "": [1] },
    ],
    ["a length may be longer than needed", Uint8Array.of(0x1a, 0x81, 0x00, 0x61), "a"],
    ["an object may be empty", part(5), {}],
    ["an array may be empty", part(6), []],
  ])("follows protobuf: %s", (_, bytes, json) => {
    const value = decode(bytes);
    const expected = Value.of(json);
    expect([value.text, value.size]).toEqual([expected.text, expected.size]);
    expect(encodeValue(value)).toEqual(encodeValue(expected));
    expect(stockJson(bytes)?.json).toEqual(json);
  });

  test("finds duplicates among more than 16 keys too", () => {
    const entries = Array.from({ length: 40 }, (_, i) => entry(`k${i}`, num(i)));
    const bytes = part(5, ...entries, entry("k3", num(-1)), entry("k39", num(-2)));
    const { text } = decode(bytes);
    const json: unknown = JSON.parse(text);
    expect(text).toBe(JSON.stringify(json));
    expect(json).toEqual(stockJson(bytes)?.json);
    expect(json).toMatchObject({ k3: -1, k39: -2, k38: 38 });
  });

  test("names the field in every refusal", () => {
    const refused: [Uint8Array, string][] = [
      [Uint8Array.of(), "VALUE_INVALID"],
      [num(NaN), "VALUE_INVALID"],
      [nestedLists(31), "VALUE_TOO_DEEP"],
      [part(3, "x".repeat(1024 * 1024)), "VALUE_TOO_LARGE"],
      [Uint8Array.of(0x1a), "REQUEST_INVALID"],
    ];
    for (const [bytes, reason] of refused) {
      const error = refusal(() => decode(bytes, "ops[2].set.value"));
      expect(error).toMatchObject({ reason, metadata: { field: "ops[2].set.value" } });
      expect(error.message).toMatch(/^ops\[2\]\.set\.value .*; it may /);
    }
  });

  test("accepts a top-level __proto__ in a merge value, which the reducer refuses", () => {
    const bytes = part(5, entry("__proto__", num(1)), entry("a", num(2)));
    const value = decodeTolerant(bytes, whole(bytes), "value", true);
    expect(value.text).toBe('{"__proto__":1,"a":2}');
    expect(fastText(bytes)).toBeUndefined();
  });

  test("does not keep the bytes that it reads", () => {
    for (const json of ["short", "x".repeat(100), "y".repeat(1000)]) {
      const bytes = stockBytes(json);
      const value = decode(bytes);
      bytes.fill(0);
      expect(encodeValue(value)).toEqual(stockBytes(json));
    }
  });

  test("fails on damaged bytes only with StreamErrors, and otherwise agrees with protobuf-es", () => {
    const damage = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom("flip", "cut", "insert", "remove", "repeat"),
      byte: fc.integer({ min: 0, max: 255 }),
    });
    const valid = arbitraryJson.map(stockBytes);
    const damaged = fc
      .tuple(valid, fc.array(damage, { minLength: 1, maxLength: 4 }))
      .map(([bytes, hits]) => {
        let list = [...bytes];
        for (const { at, kind, byte } of hits) {
          const place = list.length === 0 ? 0 : at % list.length;
          if (kind === "flip") list[place] = byte;
          else if (kind === "cut") list.length = place;
          else if (kind === "insert") list.splice(place, 0, byte);
          else if (kind === "remove") list.splice(place, 1);
          else list = [...list.slice(0, place), ...list];
        }
        return Uint8Array.from(list);
      });
    fc.assert(
      fc.property(fc.oneof(damaged, damaged, fc.uint8Array({ maxLength: 30 })), (bytes) => {
        const fast = fastText(bytes);
        let value: Value;
        try {
          value = general(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(StreamError);
          // What the fast reader accepts, the general reader accepts too.
          expect(fast).toBeUndefined();
          return;
        }
        // Objects of JavaScript move keys that are integers to the front.
        if (fast !== undefined) expect(JSON.parse(fast)).toEqual(value.json());
        expect(decode(bytes).size).toBe(value.size);
        const stock = stockJson(bytes);
        expect(stock).toBeDefined();
        expect(value.json()).toEqual(JSON.parse(JSON.stringify(stock?.json)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("encodeValue", () => {
  test("writes what protobuf-es writes, byte for byte", () => {
    fc.assert(
      fc.property(arbitraryJson, (json) => {
        const value = Value.of(json);
        expect(encodeValue(value)).toEqual(stockBytes(json));
        expect(encodeValue(value).length).toBeLessThanOrEqual(value.size);
      }),
    );
  });

  test("writes values larger and deeper than its first buffer", () => {
    const list = Array.from({ length: 40_000 }, (_, i) => i);
    for (const json of [list, "ü".repeat(500_000), "x".repeat(1_000_000), { list }]) {
      expect(Buffer.compare(encodeValue(Value.of(json)), stockBytes(json))).toBe(0);
    }
    for (const bytes of [nestedLists(30), nestedStructs(30)]) {
      expect(encodeValue(Value.parse(decode(bytes).text))).toEqual(bytes);
    }
  });

  test("encodes an instance once", () => {
    const value = Value.of({ a: 1 });
    expect(encodeValue(value)).toBe(encodeValue(value));
    const decoded = decode(stockBytes("a"));
    expect(encodeValue(decoded)).toBe(encodeValue(decoded));
  });

  test("returns bytes that later calls do not change", () => {
    const jsons = Array.from({ length: 200 }, (_, i) => "z".repeat(i * 3));
    const encoded = jsons.map((json) => encodeValue(Value.of(json)));
    encoded.forEach((bytes, i) => expect(bytes).toEqual(stockBytes(jsons[i] ?? "")));
  });
});
