import type { GroupEvent } from "./change.ts";
import type { GroupKey } from "./names.ts";
import type { Unwatch } from "./store.ts";

/** What a change or a transient event sets off. */
export interface Firing {
  /** Ids of the triggers that it fires: at least one. */
  readonly triggers: readonly string[];
  /** How many firings and calls led to it: 0 for a write that no function made. */
  readonly depth: number;
}

/** An event with what it sets off, as a commit makes it. */
export interface Fired {
  readonly event: GroupEvent;
  readonly firing: Firing;
}

/** What there is to fire, without the event. */
export interface OutboxHead extends Firing {
  /** Place in its partition: grows with every entry; entries of one group are in revision order. */
  readonly seq: number;
  readonly group: GroupKey;
}

/** What there is to fire. */
export interface OutboxEntry extends OutboxHead {
  readonly event: GroupEvent;
}

/** Triggers of an entry that are done. */
export interface Settled {
  readonly seq: number;
  readonly triggers: readonly string[];
  /** Whether none of the entry's triggers is left: the entry may go. */
  readonly complete: boolean;
}

/**
 * Events that triggers have yet to be called with. Part of a store, because an entry is made in the
 * same atomic step as its commit: never a change without its firing, nor a firing without its change.
 *
 * On a durable store entries survive a crash, and so does what was settled before it.
 *
 * Entries are spread over partitions; all of a group are in one. Whoever owns a partition (see
 * Coordinator) reads and settles it; others may read, but must not settle.
 */
export interface Outbox {
  /** Number of partitions, at least 1. Fixed as long as the data lives. */
  readonly partitions: number;
  /**
   * Entries after a place, oldest first, with those of their triggers that are not settled.
   *
   * @param after `seq` of the last entry seen; 0 for the first page.
   */
  scan(partition: number, after: number, limit: number): Promise<readonly OutboxHead[]>;
  /** One entry; undefined when it is gone. */
  read(partition: number, seq: number): Promise<OutboxEntry | undefined>;
  /**
   * Marks triggers as done with entries. What is complete is removed. Resolves when durable.
   *
   * @param fence Proof of ownership, as the Coordinator gave it: an earlier owner's is refused.
   * @throws StreamError STORE_UNAVAILABLE
   */
  settle(partition: number, settled: readonly Settled[], fence: string): Promise<void>;
  /**
   * Calls the listener with new entries from now on, in order, once they are durable. It must return
   * at once.
   */
  watch(partition: number, listener: (heads: readonly OutboxHead[]) => void): Unwatch;
}
