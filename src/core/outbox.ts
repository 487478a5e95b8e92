import type { GroupEvent } from "./change.ts";
import type { GroupKey } from "./names.ts";
import type { Unwatch } from "./watchers.ts";

/** The triggers that a change or a transient event fires. */
export interface Firing {
  /** Ids of the triggers, or references of starts (see start-reference.ts): at least one. */
  readonly triggers: readonly string[];
  /** Number of firings and calls that led to it: 0 for a write that no function made. */
  readonly depth: number;
}

/** An event with its firing, as a commit produces it. */
export interface Fired {
  readonly event: GroupEvent;
  readonly firing: Firing;
}

/** An outbox entry without its event. */
export interface OutboxHead extends Firing {
  /**
   * Sequence number in its partition: grows with every entry; those of a group are in revision
   * order.
   */
  readonly seq: number;
  readonly group: GroupKey;
}

/** An event whose triggers have yet to run. */
export interface OutboxEntry extends OutboxHead {
  readonly event: GroupEvent;
}

/** Triggers of an entry that are done. */
export interface Settled {
  readonly seq: number;
  readonly triggers: readonly string[];
  /** Whether no trigger of the entry is left: the entry is removed. */
  readonly complete: boolean;
}

/**
 * Events whose triggers have yet to run. Part of a store, because an entry is written in the same
 * atomic step as its commit: never a change without its firing, nor a firing without its change.
 *
 * On a durable store, entries and settlements survive a crash.
 *
 * Entries are spread over partitions; all entries of a group are in one. The owner of a partition
 * (see Coordinator) reads and settles it; other processes may read, but must not settle.
 */
export interface Outbox {
  /** Number of partitions, at least 1. Fixed for the lifetime of the data. */
  readonly partitions: number;
  /**
   * Entries after a sequence number, oldest first, with their unsettled triggers.
   *
   * @param after `seq` of the last entry seen; 0 for the first page.
   */
  scan(partition: number, after: number, limit: number): Promise<readonly OutboxHead[]>;
  /** One entry; undefined when it is gone. */
  read(partition: number, seq: number): Promise<OutboxEntry | undefined>;
  /**
   * Marks triggers of entries as done, and removes complete entries. Resolves when durable.
   *
   * @param fence Proof of ownership from the Coordinator: that of an earlier owner is refused.
   * @throws StreamError STORE_UNAVAILABLE
   */
  settle(partition: number, settled: readonly Settled[], fence: string): Promise<void>;
  /**
   * Identifies the unbroken history of a partition. It changes when events may have been lost,
   * because the data was restored from a copy or the server lost a part of it. Absent: losses go
   * unnoticed.
   */
  lineage?(partition: number): Promise<string>;
  /**
   * Calls the listener with new entries from now on, in order, once they are durable. The listener
   * must not block.
   */
  watch(partition: number, listener: (heads: readonly OutboxHead[]) => void): Unwatch;
}
