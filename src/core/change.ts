import type { Delta } from "./delta.ts";
import type { Cause, ItemLifetime } from "./lifetime.ts";
import type { Position } from "./position.ts";
import type { Value } from "./value.ts";

/** One stored item. */
export interface Item {
  readonly itemId: string;
  readonly value: Value;
  /** Revision of the change that last wrote it. */
  readonly revision: number;
  /** Wall clock of its creation, Unix milliseconds. Promises no order. */
  readonly createTimeMs: number;
  /** Wall clock of its last write, Unix milliseconds. Promises no order. */
  readonly updateTimeMs: number;
  /** Author of the change that last wrote it; "" when it has none. @see author.ts */
  readonly author: string;
  /** Its lifetime. Undefined: it has none. */
  readonly lifetime?: ItemLifetime | undefined;
}

/** A committed change of one item: what the log keeps and every subscriber receives. */
export interface ChangeEvent {
  readonly kind: "change";
  readonly type: "create" | "update" | "delete";
  readonly itemId: string;
  /** The full new value; for a delete, the removed one. */
  readonly value: Value;
  /** Position of the group after the change. */
  readonly position: Position;
  /** Unix milliseconds, strictly increasing within the group. */
  readonly timestamp: number;
  /**
   * Wall clock of the commit, Unix milliseconds: the age of the log entry, and the item's update
   * time.
   */
  readonly timeMs: number;
  /** Author of the commit; "" when it has none. @see author.ts */
  readonly author: string;
  /**
   * Of an update by steps that is smaller than its value: the steps, for subscribers that know the
   * item before it.
   */
  readonly delta?: Delta | undefined;
  /** Why the service itself deleted the item. Undefined: a caller made the change. */
  readonly cause?: Cause | undefined;
}

/** An update as subscribers with deltas receive it: its steps in place of the value. */
export interface DeltaEvent extends Omit<
  ChangeEvent,
  "kind" | "type" | "value" | "delta" | "cause"
> {
  readonly kind: "delta";
  readonly delta: Delta;
}

/** A change as a log keeps it. */
export type LoggedChange = ChangeEvent | DeltaEvent;

/** A change for a subscriber with deltas: without its value, where it has a delta. */
export function withDelta(change: LoggedChange): LoggedChange {
  if (change.kind === "delta" || change.delta === undefined) return change;
  const { itemId, position, timestamp, timeMs, author, delta } = change;
  return { kind: "delta", itemId, position, timestamp, timeMs, author, delta };
}

/** A transient event: delivered at most once to the subscribers of the moment, never logged. */
export interface TransientEvent {
  readonly kind: "event";
  /** Type given by the sender. */
  readonly type: string;
  /** The item it concerns; absent: the group as a whole. */
  readonly itemId: string | undefined;
  readonly value: Value;
  /** Position of the group when it was sent: it is never delivered before that change. */
  readonly after: Position;
  /** Unix milliseconds, strictly increasing within the group. */
  readonly timestamp: number;
  /** Author of the event; "" when it has none. @see author.ts */
  readonly author: string;
}

/** What a store announces of a group, in order. */
export type GroupEvent = ChangeEvent | TransientEvent;

/** What a subscription receives of a group, in order. */
export type LiveEvent = LoggedChange | TransientEvent;
