import type { ChangeEvent, Item } from "../../core/change.ts";
import type { OpError } from "../../core/ops.ts";
import type { Position } from "../../core/position.ts";
import type { Value } from "../../core/value.ts";

/* The results of the handlers, from which responses are encoded. */

/** Says that a result is that of an earlier write with the same idempotency key. */
interface Repeatable {
  readonly deduplicated?: boolean | undefined;
}

/** The result of a set or update. */
export interface Written extends Repeatable {
  readonly oldValue: Value | undefined;
  readonly newValue: Value | undefined;
  readonly created: boolean;
  readonly position: Position;
}

/** The result of an update. */
export interface Updated extends Written {
  readonly errors: readonly OpError[];
}

/** The result of a delete. */
export interface Deleted extends Repeatable {
  readonly oldValue: Value | undefined;
  readonly position: Position | undefined;
}

/** The result of a batch. */
export interface Batched extends Repeatable {
  readonly results: readonly (
    | { readonly kind: "set"; readonly result: Written }
    | { readonly kind: "update"; readonly result: Updated }
    | { readonly kind: "delete"; readonly result: Deleted }
  )[];
  readonly position: Position;
}

/** A page of group ids. */
export interface ListedGroups {
  readonly groups: readonly string[];
  readonly nextPageToken: string;
}

/** A page of streams with their group ids. */
export interface ListedStreams {
  readonly streams: readonly { readonly streamName: string; readonly groups: readonly string[] }[];
  /** Number of all streams that hold items. */
  readonly count: number;
  readonly nextPageToken: string;
}

/** A page of items. */
export interface Listed {
  readonly items: readonly Item[];
  readonly position: Position;
  readonly nextPageToken: string;
}

/** A page of changes. */
export interface ListedChanges {
  readonly changes: readonly ChangeEvent[];
  /** Position of the oldest change in the log. */
  readonly oldest: Position | undefined;
  readonly head: Position;
  readonly nextPageToken: string;
}
