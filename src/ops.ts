/**
 * The reducer of updates, for clients that receive deltas. It needs nothing of Node: browsers can
 * use it.
 */
export { applyOps } from "./core/apply-ops.ts";
export type { Json } from "./core/value.ts";
