import fc from "fast-check";
import type { UpdateOp } from "../../src/core/ops.ts";
import { type Json, Value } from "../../src/core/value.ts";

const key = fc.constantFrom("a", "b", "c", "");
/** Values of items, small and of every type. */
export const json = fc.oneof(
  fc.constantFrom<Json>(null, 1, 1.5, "text", true, [], {}, [1], { a: { b: ["x"] }, c: "y" }),
  fc.dictionary(key, fc.constantFrom<Json>(null, 2, "t", [1], { a: 1, b: "s", c: [] })),
);
const value = json.map((each) => Value.of(each));
const path = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 3 });
/** Steps, many of which do not fit such a value. */
export const op = fc.oneof<fc.Arbitrary<UpdateOp>[]>(
  fc.record({ type: fc.constant("set" as const), path: key, value }),
  fc.record({ type: fc.constantFrom("merge" as const, "append" as const), path, value }),
  fc.record({
    type: fc.constantFrom("increment" as const, "decrement" as const),
    path: key,
    by: fc.integer(),
  }),
  fc.record({ type: fc.constant("remove" as const), path: key }),
);
