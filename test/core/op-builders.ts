import type { UpdateOp } from "../../src/core/ops.ts";
import { type Json, Value } from "../../src/core/value.ts";

/** Short constructors of steps, for tables. */
export const op = {
  set: (path: string, value: Json): UpdateOp => ({ type: "set", path, value: Value.of(value) }),
  merge: (path: readonly string[], value: Json): UpdateOp => ({
    type: "merge",
    path,
    value: Value.ofMergeValue(value, "value"),
  }),
  increment: (path: string, by: number): UpdateOp => ({ type: "increment", path, by }),
  decrement: (path: string, by: number): UpdateOp => ({ type: "decrement", path, by }),
  append: (path: readonly string[], value: Json): UpdateOp => ({
    type: "append",
    path,
    value: Value.of(value),
  }),
  remove: (path: string): UpdateOp => ({ type: "remove", path }),
};
