import type { Value } from "./value.ts";

/** Literal keys that lead to a target; empty for the root. */
export type Path = readonly string[];

/**
 * One step of an update, well-formed by type. Further mistakes (long paths, forbidden keys, targets
 * of the wrong kind) are results of the step, not failures of the call.
 */
export type UpdateOp =
  | { readonly type: "set"; readonly path: string; readonly value: Value }
  | { readonly type: "merge"; readonly path: Path; readonly value: Value }
  | { readonly type: "increment"; readonly path: string; readonly by: number }
  | { readonly type: "decrement"; readonly path: string; readonly by: number }
  | { readonly type: "append"; readonly path: Path; readonly value: Value }
  | { readonly type: "remove"; readonly path: string };

/** A step that was skipped, and why. */
export interface OpError {
  /** Place of the step in the call, from 0. */
  readonly opIndex: number;
  /** Stable code, for example `increment.not_number`. */
  readonly code: string;
  /** A sentence for people. */
  readonly message: string;
}
