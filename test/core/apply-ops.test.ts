import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyOps } from "../../src/core/apply-ops.ts";
import { opsText } from "../../src/core/op-text.ts";
import { reduce } from "../../src/core/reduce.ts";
import { type Json, Value } from "../../src/core/value.ts";
import { json, op } from "./arbitrary-updates.ts";

/** Freezes a value in depth: a change in place throws. */
function frozen(given: Json): Json {
  if (typeof given === "object" && given !== null) Object.values(given).forEach(frozen);
  return Object.freeze(given);
}

describe("applyOps", () => {
  it("gives the value that the service gives, and leaves the one before as it is", () => {
    fc.assert(
      fc.property(json, fc.array(op, { maxLength: 6 }), (before, ops) => {
        const { value: after, effective } = reduce(Value.of(before), ops);
        const steps = JSON.parse(opsText(effective)) as unknown[];
        const applied = applyOps(frozen(structuredClone(before)), steps);
        expect(JSON.stringify(applied)).toBe(after.text);
      }),
      { numRuns: 3000 },
    );
  });

  it("shares what the steps do not touch", () => {
    const before = { list: [1], text: "a", other: { deep: [1] } };
    const after = applyOps(before, [
      { type: "append", path: ["list"], value: 2 },
      { type: "append", path: "text", value: "b" },
    ]);
    expect(after).toEqual({ list: [1, 2], text: "ab", other: { deep: [1] } });
    expect((after as typeof before).other).toBe(before.other);
    expect(before).toEqual({ list: [1], text: "a", other: { deep: [1] } });
  });

  it("refuses steps that do not fit the value: it is another one's", () => {
    const append = { type: "append", path: ["text"], value: "b" };
    expect(() => applyOps({ text: 1 }, [append])).toThrow("not those of the value's revision");
    expect(() => applyOps("text", [append])).toThrow("not those of the value's revision");
  });

  it("refuses malformed steps", () => {
    expect(() => applyOps({}, [{ type: "replace" }])).toThrow("ops[0].type is malformed");
  });
});
