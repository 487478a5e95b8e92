import type { GroupKey } from "../core/names.ts";
import type { UpdateOp } from "../core/ops.ts";
import type { Value } from "../core/value.ts";

/** What a write does. */
export type WriteAction = "set" | "update" | "delete" | "batch" | "send";

/**
 * The content of a write that asks write gates: a request of the service has these fields and more.
 * Names are checked. Each field belongs to the actions that its comment names.
 */
export interface GatedWrite extends GroupKey {
  /** Set, update, delete, send. Undefined: a batch, or a send to the whole group. */
  readonly itemId?: string | undefined;
  /** Set, send. */
  readonly data?: Value | undefined;
  /** Update. */
  readonly ops?: readonly UpdateOp[] | undefined;
  /** Batch. */
  readonly mutations?: readonly GatedMutation[] | undefined;
  /** Send. Empty or undefined: `message`. */
  readonly type?: string | undefined;
}

/** One write of a batch. */
export type GatedMutation =
  | { readonly kind: "set"; readonly itemId: string; readonly data: Value | undefined }
  | { readonly kind: "update"; readonly itemId: string; readonly ops: readonly UpdateOp[] }
  | { readonly kind: "delete"; readonly itemId: string };

/** What a gate puts in place of the content of a write. */
export type Replacement =
  /** Of a set or a send. */
  | { readonly data: Value }
  /** Of a batch: the new content of each mutation, in order; undefined for a delete. */
  | { readonly mutations: readonly (MutationContent | undefined)[] };

/** New content of one mutation of a batch. */
export type MutationContent = { readonly data: Value } | { readonly ops: readonly UpdateOp[] };

/** The write with new content. All other fields are those of the request. */
export function withContent<W extends GatedWrite>(write: W, content: Replacement): W {
  if ("data" in content) return { ...write, data: content.data };
  const { mutations } = content;
  return {
    ...write,
    mutations: write.mutations?.map((mutation, index) => ({ ...mutation, ...mutations[index] })),
  };
}
