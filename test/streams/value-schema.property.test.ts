import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { StreamError } from "../../src/core/errors.ts";
import { type Json, Value } from "../../src/core/value.ts";
import { compileSchema } from "../../src/streams/value-schema.ts";

const key = fc.constantFrom("a", "b", "c");
const { value: json } = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Json>(null, true, 0, 1, 2.5, "", "a", "bb"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(key, tie("value"), { maxKeys: 3 }),
  ),
}));

const CONDITIONAL = ["if", "then", "else"];

type Schema = boolean | Record<string, unknown>;
const { schema } = fc.letrec<{ schema: Schema }>((tie) => {
  const some = fc.array(tie("schema"), { minLength: 1, maxLength: 3 });
  return {
    schema: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.boolean(),
      fc.constantFrom<Schema>(
        { type: "object" },
        { type: ["array", "null"] },
        { type: "integer" },
        { const: { a: 1 } },
        { enum: [1, "a", []] },
        { minimum: 1 },
        { maxLength: 1 },
        { pattern: "^a*$" },
        { required: ["a"] },
        { minProperties: 2 },
        { uniqueItems: true },
        { maxItems: 2 },
        { $ref: "#/$defs/x" },
      ),
      some.map((anyOf) => ({ anyOf })),
      some.map((oneOf) => ({ oneOf })),
      some.map((allOf) => ({ allOf })),
      tie("schema").map((not) => ({ not })),
      tie("schema").map((items) => ({ items })),
      tie("schema").map((contains) => ({ contains, maxContains: 2 })),
      tie("schema").map((propertyNames) => ({ propertyNames })),
      fc
        .tuple(fc.dictionary(key, tie("schema"), { maxKeys: 2 }), tie("schema"))
        .map(([properties, additionalProperties]) => ({ properties, additionalProperties })),
      fc
        .tuple(fc.dictionary(key, tie("schema"), { maxKeys: 2 }), tie("schema"), some)
        .map(([properties, unevaluatedProperties, anyOf]) => ({
          ...{ properties, unevaluatedProperties, anyOf },
        })),
      fc
        .tuple(tie("schema"), tie("schema"), tie("schema"))
        .map((parts) => Object.fromEntries(CONDITIONAL.map((word, i) => [word, parts[i]]))),
    ),
  };
});

describe("a check of a schema", () => {
  it("has the result of the plain compiler, and the path of a value that exists", () => {
    fc.assert(
      fc.property(
        schema,
        schema,
        fc.array(json, { minLength: 1, maxLength: 5 }),
        (top, x, values) => {
          const whole = {
            $defs: { x: { ...(typeof x === "object" && !("$ref" in x) && x) } },
            allOf: [top],
          };
          const ours = compileSchema(whole);
          const plain = new Ajv2020({
            strict: false,
            ownProperties: true,
            meta: false,
            validateSchema: false,
          }).compile(whole);
          for (const value of values) {
            let error: StreamError | undefined;
            try {
              ours.check(Value.of(value), "data");
            } catch (thrown) {
              error = thrown as StreamError;
            }
            // A definition may apply itself for ever.
            if (error?.message.includes("too many steps") === true) continue;
            expect(error === undefined).toBe(plain(Value.of(value).json()));
            if (error !== undefined) expect(at(value, error.metadata["path"] ?? "-")).toBe(true);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** Whether there is a value at a JSON pointer. */
function at(value: Json, pointer: string): boolean {
  let here: unknown = value;
  for (const part of pointer.split("/").slice(1)) {
    if (typeof here !== "object" || here === null || !Object.hasOwn(here, part)) return false;
    here = (here as Record<string, unknown>)[part];
  }
  return true;
}
