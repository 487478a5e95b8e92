import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { opsFromJson } from "../../src/core/op-json.ts";
import { opsText } from "../../src/core/op-text.ts";
import type { UpdateOp } from "../../src/core/ops.ts";
import type { Json } from "../../src/core/value.ts";
import { arbitraryJson } from "../wire/request/arbitrary-json.ts";
import { op } from "./op-builders.ts";

const key = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.constantFrom("", "a", "__proto__", "constructor", '"\\\n\u0000\u2028', "\u{1f600}"),
);
const path = fc.array(key, { maxLength: 4 });
// JSON has no -0.
const by = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -3, max: 3 })).map((each) => each + 0);
const protoValue = arbitraryJson.map(
  (value) => JSON.parse(`{"b":1,"__proto__":${JSON.stringify(value)}}`) as Json,
);

const step: fc.Arbitrary<UpdateOp> = fc.oneof(
  fc.tuple(key, arbitraryJson).map(([at, value]) => op.set(at, value)),
  fc.tuple(path, arbitraryJson).map(([at, value]) => op.merge(at, value)),
  fc.tuple(path, protoValue).map(([at, value]) => op.merge(at, value)),
  fc.tuple(key, by).map(([at, amount]) => op.increment(at, amount)),
  fc.tuple(key, by).map(([at, amount]) => op.decrement(at, amount)),
  fc.tuple(path, arbitraryJson).map(([at, value]) => op.append(at, value)),
  key.map((at) => op.remove(at)),
);

describe("the steps of an update as text", () => {
  it("are read back unchanged", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 6 }), (ops) => {
        expect(opsFromJson(JSON.parse(opsText(ops)))).toStrictEqual(ops);
      }),
      { numRuns: 1000 },
    );
  });

  it("have the JSON form that callers send", () => {
    const ops = [
      op.set("a", null),
      op.merge([], { b: 1 }),
      op.merge(["a", "b"], {}),
      op.increment("n", Number.MAX_SAFE_INTEGER),
      op.decrement("", -2),
      op.append([""], "x"),
      op.remove('"'),
    ];
    expect(JSON.parse(opsText(ops))).toStrictEqual([
      { type: "set", path: "a", value: null },
      { type: "merge", path: [], value: { b: 1 } },
      { type: "merge", path: ["a", "b"], value: {} },
      { type: "increment", path: "n", by: Number.MAX_SAFE_INTEGER },
      { type: "decrement", path: "", by: -2 },
      { type: "append", path: [""], value: "x" },
      { type: "remove", path: '"' },
    ]);
    expect(opsText([])).toBe("[]");
  });
});
