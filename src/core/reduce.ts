import { StreamError } from "./errors.ts";
import { type JsonTree, treeOf } from "./json-tree.ts";
import { Refusal } from "./op-limits.ts";
import { type Root, applyOp } from "./op-rules.ts";
import type { OpError, UpdateOp } from "./ops.ts";
import { Value } from "./value.ts";

/**
 * Most bytes that the values of all steps may have together (by `Value.size`). No request of 4 MiB
 * comes near it; it limits the memory of updates by callers inside the process.
 */
const MAX_UPDATE_BYTES = 64 * 1024 * 1024;

/** Most characters of a path in a message. */
const MAX_SHOWN_PATH = 300;

/**
 * Computes an item's next value from its current one (undefined: no item). Pure: a store may call
 * it more than once. An error that it throws refuses its commit.
 */
export type Reduce = (current: Value | undefined) => {
  readonly value: Value;
  readonly errors: readonly OpError[];
  /**
   * The steps that took effect: applied by the reducer to the same current value, they give `value`
   * exactly. Absent: not known, and the change has no delta.
   */
  readonly effective?: readonly UpdateOp[] | undefined;
};

/** Result of an update. */
export interface Reduced {
  /** The new value. */
  readonly value: Value;
  /** Steps that were skipped, in their order. */
  readonly errors: OpError[];
  /** Steps that took effect, in their order: applied to the same value they give the same result. */
  readonly effective: readonly UpdateOp[];
}

/**
 * Applies the steps of an update, in order, to a working copy of an item's value. All stores and
 * protocols use this reducer.
 *
 * A step that fails is skipped and reported, and later ones still run. A missing item starts as
 * `{}`, unless a step at the root sets it to something else, and counts as missing until a step
 * succeeds; so the result is `{}` when none does. Only the result has to keep the limits of values;
 * intermediate states need not. Pure: neither `current` nor the steps are changed.
 *
 * @param current The item's value; undefined when there is no item.
 * @throws StreamError VALUE_TOO_DEEP, VALUE_TOO_LARGE when the result exceeds the limits of values;
 *   REQUEST_INVALID when the steps have more than MAX_UPDATE_BYTES together.
 */
export function reduce(current: Value | undefined, ops: readonly UpdateOp[]): Reduced {
  checkBytes(ops);
  let root: Root = current === undefined ? undefined : treeOf(current);
  const errors: OpError[] = [];
  for (const [opIndex, op] of ops.entries()) {
    const result: JsonTree | Refusal = applyOp(root, op);
    if (result instanceof Refusal)
      errors.push({
        opIndex,
        code: result.code,
        message: `${namedPath(op.path)}: ${result.problem}`,
      });
    else root = result;
  }
  // Not `??`: a root that is null is a value.
  const value = Value.of(root === undefined ? {} : root, "the updated value");
  return { value, errors, effective: withoutSkipped(ops, errors) };
}

function withoutSkipped(ops: readonly UpdateOp[], errors: readonly OpError[]): readonly UpdateOp[] {
  if (errors.length === 0) return ops;
  const skipped = new Set(errors.map(({ opIndex }) => opIndex));
  return ops.filter((_, index) => !skipped.has(index));
}

/** The path of a step, for a message. A long one is truncated. */
function namedPath(path: UpdateOp["path"]): string {
  if (path.length === 0) return "The root";
  const text = JSON.stringify(path);
  if (text.length <= MAX_SHOWN_PATH) return `Path ${text}`;
  return `Path ${text.slice(0, MAX_SHOWN_PATH).toWellFormed()}...`;
}

function checkBytes(ops: readonly UpdateOp[]): void {
  const bytes = ops.reduce((sum, op) => sum + ("value" in op ? op.value.size : 0), 0);
  if (bytes <= MAX_UPDATE_BYTES) return;
  throw new StreamError(
    "REQUEST_INVALID",
    `ops have values of ${bytes} bytes together; they may have up to ${MAX_UPDATE_BYTES}.`,
    { metadata: { field: "ops" } },
  );
}
