import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isTorn, type Json, sealedValue, tagOf, valueText } from "../support/checker/index.ts";

describe("the text of a value", () => {
  test("is the same for equal values, whatever the order of keys", () => {
    expect(valueText({ b: [1, { d: null, c: "x" }], a: true })).toBe(
      valueText({ a: true, b: [1, { c: "x", d: null }] }),
    );
    expect(valueText({ a: 1 })).not.toBe(valueText({ a: "1" }));
    expect(valueText([1, 2])).not.toBe(valueText([2, 1]));
    expect(valueText({ a: null })).not.toBe(valueText({}));
  });

  test("is JSON of the value itself", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), (value) => {
        expect(JSON.parse(valueText(value as Json, Infinity))).toEqual(
          JSON.parse(JSON.stringify(value)),
        );
      }),
    );
  });

  test("is a digest over the limit, which keeps the tag and distinguishes values", () => {
    const [a, b] = [valueText(sealedValue("w1:7", 1000)), valueText(sealedValue("w1:8", 1000))];
    expect(a.length).toBeLessThan(200);
    expect(a).toBe(valueText(sealedValue("w1:7", 1000)));
    expect(a).not.toBe(b);
    expect(tagOf(a)).toBe("w1:7");
    expect(valueText(sealedValue("w1:7", 999))).not.toBe(a);
  });

  test("contains the tag of an object that has one", () => {
    expect(tagOf(valueText({ tag: "t", n: 1 }))).toBe("t");
    expect(tagOf(valueText({ tag: 1 }))).toBeUndefined();
    expect(tagOf(valueText({ nested: { tag: "t" } }))).toBeUndefined();
    expect(tagOf(valueText("tag"))).toBeUndefined();
  });
});

describe("a sealed value", () => {
  test("is intact unless it was cut or mixed, whatever its length", () => {
    for (const chars of [0, 10, 5000]) {
      const whole = sealedValue("w1:7", chars);
      expect(whole.pad).toHaveLength(chars);
      expect(isTorn(valueText(whole))).toBe(false);
      expect(isTorn(valueText({ ...whole, more: 1 }))).toBe(false);
      expect(isTorn(valueText({ ...whole, tag: "w1:8" }))).toBe(true);
      expect(isTorn(valueText({ ...whole, pad: `${whole.pad}x` }))).toBe(true);
      expect(isTorn(valueText({ ...sealedValue("w2:1", chars), tag: "w1:7" }))).toBe(true);
    }
  });

  test("is not assumed in other values", () => {
    for (const value of [null, 1, "sum", [], {}, { sum: 1 }, { tag: "t", sum: 1 }])
      expect(isTorn(valueText(value))).toBe(false);
  });
});
