import fc from "fast-check";
import { expect, test } from "vitest";
import { Delta } from "../../src/core/delta.ts";
import { leastOpsBytes } from "../../src/core/op-text.ts";
import type { UpdateOp } from "../../src/core/ops.ts";
import { reduce } from "../../src/core/reduce.ts";
import { type Json, Value } from "../../src/core/value.ts";
import { naiveReduce } from "./naive-reduce.ts";
import { op } from "./op-builders.ts";

// Few keys, so that steps meet; some that objects inherit, some that are forbidden, empty or too long.
const key = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("a", "b", "c") },
  { weight: 2, arbitrary: fc.constantFrom("toString", "valueOf", "0", "length") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("", "__proto__", "constructor", "prototype", "ü".repeat(129)),
  },
);

const number = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.maxSafeInteger(),
  fc.constantFrom(Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 53, -(2 ** 53) - 2, 1e300),
  fc.double({ noDefaultInfinity: true, noNaN: true }),
);

const legalKey = key.filter((text) => text !== "__proto__");

const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<Json>(null, true, false, "", "x", "é"),
    number,
    fc.array(tie("json"), { maxLength: 3 }),
    fc.dictionary(legalKey, tie("json"), { maxKeys: 3, noNullPrototype: true }),
  ),
}));

const path = fc.oneof(
  { weight: 10, arbitrary: fc.array(key, { maxLength: 4 }) },
  { weight: 1, arbitrary: fc.array(key, { minLength: 30, maxLength: 34 }) },
);

const mergeValue = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.dictionary(legalKey, json, {
      maxKeys: 3,
      noNullPrototype: true,
    }) as fc.Arbitrary<Json>,
  },
  { weight: 2, arbitrary: json },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 14, max: 18 })
      .map((levels) => JSON.parse('{"a":'.repeat(levels) + "1" + "}".repeat(levels)) as Json),
  },
  {
    weight: 1,
    arbitrary: json.map(
      (value) => JSON.parse(`{"b":1,"__proto__":${JSON.stringify(value)}}`) as Json,
    ),
  },
);

const by = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.maxSafeInteger());

const step: fc.Arbitrary<UpdateOp> = fc.oneof(
  fc.tuple(key, json).map(([at, value]) => op.set(at, value)),
  fc.tuple(path, mergeValue).map(([at, value]) => op.merge(at, value)),
  fc.tuple(key, by).map(([at, amount]) => op.increment(at, amount)),
  fc.tuple(key, by).map(([at, amount]) => op.decrement(at, amount)),
  fc.tuple(path, json).map(([at, value]) => op.append(at, value)),
  key.map((at) => op.remove(at)),
);

/** Text that is equal exactly when two values are, whatever the order of their keys. */
function canonical(value: Json): string {
  return JSON.stringify(value, (_key, member: Json) =>
    member !== null && typeof member === "object" && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}

function levels(value: Json): number {
  if (value === null || typeof value !== "object") return 0;
  return 1 + Math.max(0, ...Object.values(value).map((member) => levels(member)));
}

test("the reducer agrees with a naive implementation of the rules", () => {
  fc.assert(
    fc.property(
      fc.option(json, { nil: undefined }),
      fc.array(step, { maxLength: 8 }),
      (current, ops) => {
        const expected = naiveReduce(current, ops);
        const value = current === undefined ? undefined : Value.of(current);
        if (levels(expected.value) > 30) {
          expect(() => reduce(value, ops)).toThrow("more than 30 levels");
          return;
        }
        const actual = reduce(value, ops);
        expect(actual.errors.map((error) => [error.opIndex, error.code])).toStrictEqual(
          expected.errors,
        );
        expect(canonical(actual.value.json())).toBe(canonical(expected.value));
      },
    ),
    { numRuns: 3000 },
  );
});

test("the result is the value that Value.of makes", () => {
  fc.assert(
    fc.property(json, fc.array(step, { maxLength: 4 }), (current, ops) => {
      fc.pre(levels(naiveReduce(current, ops).value) <= 30);
      const { value } = reduce(Value.of(current), ops);
      const again = Value.of(value.json());
      expect([value.text, value.size]).toStrictEqual([again.text, again.size]);
    }),
    { numRuns: 500 },
  );
});

test("a sequence of steps equals its parts run one after another, once the item exists", () => {
  fc.assert(
    fc.property(
      json,
      fc.array(step, { maxLength: 4 }),
      fc.array(step, { maxLength: 4 }),
      (current, head, tail) => {
        fc.pre(levels(naiveReduce(current, head).value) <= 30);
        fc.pre(levels(naiveReduce(current, [...head, ...tail]).value) <= 30);
        const whole = reduce(Value.of(current), [...head, ...tail]);
        const between = reduce(Value.of(current), head);
        const end = reduce(between.value, tail);
        expect(whole.value.text).toBe(end.value.text);
        expect(whole.errors.map((error) => error.code)).toStrictEqual(
          [...between.errors, ...end.errors].map((error) => error.code),
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("the steps that took effect, as a delta, give the same value again", () => {
  fc.assert(
    fc.property(json, fc.array(step, { maxLength: 8 }), (current, ops) => {
      fc.pre(levels(naiveReduce(current, ops).value) <= 30);
      const before = Value.of(current);
      const { value, errors, effective } = reduce(before, ops);
      const skipped = errors.map(({ opIndex }) => opIndex);
      expect(effective).toStrictEqual(ops.filter((_, index) => !skipped.includes(index)));
      const delta = Delta.of(7, effective);
      expect(delta.size).toBeGreaterThanOrEqual(leastOpsBytes(effective));
      const again = reduce(before, Delta.trusted(7, delta.text).ops);
      expect([again.value.text, again.errors]).toStrictEqual([value.text, []]);
    }),
    { numRuns: 2000 },
  );
});
