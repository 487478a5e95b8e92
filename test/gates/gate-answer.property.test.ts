import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readGateAnswer } from "../../src/triggers/gate-answer.ts";

/** Any JSON object, with and without the keys of the rule. */
const objects = fc
  .record(
    {
      unauthorized: fc.oneof(fc.boolean(), fc.jsonValue()),
      error: fc.jsonValue(),
      statusCode: fc.oneof(fc.integer({ min: 0, max: 600 }), fc.double(), fc.jsonValue()),
      context: fc.jsonValue(),
    },
    { requiredKeys: [] },
  )
  .chain((fields) =>
    fc.dictionary(fc.string(), fc.jsonValue()).map((rest) => ({ ...rest, ...fields })),
  );

/** The rule of the documentation. */
function isAllowing(json: unknown): boolean {
  if (json === null) return true;
  if (typeof json !== "object" || Array.isArray(json)) return false;
  const { unauthorized = null, error = null, statusCode } = json as Record<string, unknown>;
  if (unauthorized !== null && unauthorized !== false) return false;
  return error === null && !(typeof statusCode === "number" && statusCode >= 400);
}

describe("the result of a gate", () => {
  it("allows when it is undefined", () => {
    expect(readGateAnswer(undefined)).toEqual({ allows: true, fields: undefined });
  });

  it("allows only as null or as an object without an objection, whatever JSON it is (G8)", () => {
    fc.assert(
      fc.property(fc.oneof(objects, fc.jsonValue()), (value) => {
        const text = JSON.stringify(value);
        const json: unknown = JSON.parse(text);
        const answer = readGateAnswer(text);
        expect(answer.allows).toBe(isAllowing(json));
        if (answer.allows) expect(answer.fields ?? null).toEqual(json);
      }),
      { numRuns: 2000 },
    );
  });

  it("never leaks its content into the reason", () => {
    const secret = fc.stringMatching(/^s3cret[a-z]{8}$/);
    fc.assert(
      fc.property(secret, (text) => {
        for (const value of [text, [text], { unauthorized: text }, { error: text }]) {
          const answer = readGateAnswer(JSON.stringify(value));
          expect(answer.allows ? "" : answer.why).not.toContain(text);
          expect(answer.allows).toBe(false);
        }
      }),
    );
  });
});
