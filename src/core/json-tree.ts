import type { Value } from "./value.ts";

/** JSON with a single owner, so that it may be changed in place. */
export type JsonTree = null | boolean | number | string | JsonTree[] | JsonObject;

/** An object within a tree. */
export interface JsonObject {
  [key: string]: JsonTree;
}

/** A fresh tree of a value. */
export function treeOf(value: Value): JsonTree {
  return value.json() as JsonTree;
}

/** Whether it is an object: not null, not an array. */
export function isObject(tree: JsonTree): tree is JsonObject {
  return typeof tree === "object" && tree !== null && !Array.isArray(tree);
}

/**
 * Own member of an object; undefined when there is none. (A plain read finds `toString` in every
 * object.)
 */
export function memberOf(object: JsonObject, key: string): JsonTree | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/**
 * Whether a tree has more than `levels` levels of arrays and objects; a scalar has 0, `{}` and `[]`
 * 1.
 */
export function isDeeperThan(tree: JsonTree, levels: number): boolean {
  if (typeof tree !== "object" || tree === null) return false;
  if (levels === 0) return true;
  return Object.values(tree).some((member: JsonTree) => isDeeperThan(member, levels - 1));
}
