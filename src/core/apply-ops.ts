import { type JsonTree, isObject, memberOf } from "./json-tree.ts";
import { opsFromJson } from "./op-json.ts";
import { Refusal } from "./op-limits.ts";
import { type Root, applyOp } from "./op-rules.ts";
import type { UpdateOp } from "./ops.ts";
import type { Json } from "./value.ts";

/**
 * Applies the steps of an update to a value, as the service does: with the steps of a change
 * (`ops`) and the item's value at its base revision, the result is the item's new value.
 *
 * Costs what the steps touch, not what the value holds. Needs nothing but the language: browsers
 * can use it.
 *
 * @param value The value before. It is not changed; the result shares the untouched parts with it.
 * @param ops The steps, as a subscription with deltas receives them.
 * @returns The value after.
 * @throws StreamError OP_MALFORMED when the steps are none.
 * @throws Error when a step does not fit the value: it is not that of the base revision.
 */
export function applyOps(value: Json, ops: readonly unknown[]): Json {
  let root: Root = value as JsonTree;
  for (const op of opsFromJson(ops)) {
    const result = applyOp(copyOfTouched(root, pathOf(op)), op);
    if (result instanceof Refusal)
      throw new Error(`The steps are not those of the value's revision: ${result.problem}`);
    root = result;
  }
  return root;
}

function pathOf({ path }: UpdateOp): readonly string[] {
  if (typeof path !== "string") return path;
  return path === "" ? [] : [path];
}

/** The tree with fresh copies of what lies on the path, which a step may change in place. */
function copyOfTouched(tree: JsonTree, path: readonly string[]): JsonTree {
  if (Array.isArray(tree)) return path.length === 0 ? [...tree] : tree;
  if (!isObject(tree)) return tree;
  const copy = { ...tree };
  const [key, ...rest] = path;
  const member = key === undefined ? undefined : memberOf(copy, key);
  if (key !== undefined && member !== undefined) copy[key] = copyOfTouched(member, rest);
  return copy;
}
