import type { UpdateOp } from "../../src/core/ops.ts";
import { reduce } from "../../src/core/reduce.ts";
import type { Mutation } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import type { Random } from "../support/random.ts";

/** Longer than the steps of an update. */
const LONG = "x".repeat(200);

/** A put, an update of several steps, or a delete of an item. */
export function randomWrite(dice: Random, itemId: string, count: number): Mutation {
  if (dice.chance(0.2)) return { kind: "delete", itemId };
  if (dice.chance(0.3)) return { kind: "put", itemId, value: Value.of({ count, text: LONG }) };
  const ops: UpdateOp[] = [
    { type: "append", path: ["text"], value: Value.of(`${count} `) },
    { type: "increment", path: dice.pick(["count", "text"]), by: dice.below(5) },
  ];
  return { kind: "reduce", itemId, reduce: (current) => reduce(current, ops), bytes: 0 };
}
