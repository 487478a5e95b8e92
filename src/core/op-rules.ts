import { type JsonObject, type JsonTree, isObject, memberOf, treeOf } from "./json-tree.ts";
import { Refusal, mergeable, pathRefusal } from "./op-limits.ts";
import type { Path, UpdateOp } from "./ops.ts";

/** The working copy of an update; undefined while there is no item. */
export type Root = JsonTree | undefined;

/**
 * Applies one step to the working copy. It may change the copy in place.
 *
 * @returns The new root, or why the step was skipped; then the working copy is unchanged.
 */
export function applyOp(root: Root, op: UpdateOp): JsonTree | Refusal {
  const path = typeof op.path === "string" ? keysOf(op.path) : op.path;
  const refusal = pathRefusal(op.type, path);
  if (refusal !== undefined) return refusal;
  switch (op.type) {
    case "set":
      return set(root, op.path, treeOf(op.value));
    case "merge":
      return merge(root, op.path, treeOf(op.value));
    case "increment":
      return add(root, "increment", op.path, op.by);
    case "decrement":
      return add(root, "decrement", op.path, 0 - op.by);
    case "append":
      return append(root, op.path, treeOf(op.value));
    case "remove":
      return remove(root, op.path);
  }
}

/** A first-level key as a path; `""` is the root. */
function keysOf(key: string): Path {
  return key === "" ? [] : [key];
}

function set(root: Root, key: string, value: JsonTree): JsonTree | Refusal {
  if (key === "") return value;
  const object = objectRoot(root, "set");
  if (object instanceof Refusal) return object;
  object[key] = value;
  return object;
}

function merge(root: Root, path: Path, value: JsonTree): JsonTree | Refusal {
  const source = mergeable(value);
  if (source instanceof Refusal) return source;
  const object = objectRoot(root, "merge");
  if (object instanceof Refusal) return object;
  Object.assign(descend(object, path), source);
  return object;
}

function add(
  root: Root,
  type: "increment" | "decrement",
  key: string,
  by: number,
): JsonTree | Refusal {
  if (key === "") return root === undefined ? by : sum(type, root, by);
  const object = objectRoot(root, type);
  if (object instanceof Refusal) return object;
  const member = memberOf(object, key);
  const result = member === undefined ? by : sum(type, member, by);
  if (result instanceof Refusal) return result;
  object[key] = result;
  return object;
}

function append(root: Root, path: Path, value: JsonTree): JsonTree | Refusal {
  const key = path.at(-1);
  if (key === undefined) return appended(root ?? null, value);
  const object = objectRoot(root, "append");
  if (object instanceof Refusal) return object;
  // Descending creates only empty objects: then there is no leaf, and nothing below is refused.
  const parent = descend(object, path.slice(0, -1));
  const leaf = memberOf(parent, key);
  const result = leaf === undefined && path.length > 1 ? [value] : appended(leaf ?? null, value);
  if (result instanceof Refusal) return result;
  parent[key] = result;
  return object;
}

function remove(root: Root, key: string): JsonTree | Refusal {
  if (key === "") return null;
  const object = objectRoot(root, "remove");
  if (object instanceof Refusal) return object;
  delete object[key];
  return object;
}

/**
 * The root as an object: a missing item starts as `{}`; a root of another kind is never replaced.
 */
function objectRoot(root: Root, type: UpdateOp["type"]): JsonObject | Refusal {
  if (root === undefined) return {};
  if (isObject(root)) return root;
  return new Refusal(
    `${type}.target_not_object`,
    `the item's value is ${kindOf(root)}; a step with a path, and a merge, may change an object.`,
  );
}

/** Walks down from an object. Members that are missing or not objects become empty objects. */
function descend(object: JsonObject, path: Path): JsonObject {
  let at = object;
  for (const key of path) {
    const member = memberOf(at, key);
    at = member !== undefined && isObject(member) ? member : (at[key] = {});
  }
  return at;
}

/**
 * Adds an integer. With an integer target the result is exact or refused: a sum of doubles that is
 * a safe integer was not rounded, and a rounded one is never a safe integer.
 */
function sum(type: "increment" | "decrement", target: JsonTree, by: number): number | Refusal {
  if (typeof target !== "number") {
    return new Refusal(
      `${type}.not_number`,
      `the target is ${kindOf(target)}; it may be a number or missing.`,
    );
  }
  const result = target + by;
  if (Number.isInteger(target) ? Number.isSafeInteger(result) : Number.isFinite(result))
    return result;
  return new Refusal(
    `${type}.out_of_range`,
    `the result is out of range; it may be an integer from -(2^53-1) to 2^53-1.`,
  );
}

/** The target with the value appended; null counts as an empty array or string. */
function appended(target: JsonTree, value: JsonTree): JsonTree | Refusal {
  if (target === null) return typeof value === "string" ? value : [value];
  if (Array.isArray(target)) {
    target.push(value);
    return target;
  }
  if (typeof target === "string" && typeof value === "string") return target + value;
  return new Refusal(
    "append.type_mismatch",
    `the target is ${kindOf(target)} and the value ${kindOf(value)}; ` +
      "the target may be an array, null or missing, or both may be strings.",
  );
}

function kindOf(tree: JsonTree): string {
  if (tree === null) return "null";
  if (Array.isArray(tree)) return "an array";
  return typeof tree === "object" ? "an object" : `a ${typeof tree}`;
}
