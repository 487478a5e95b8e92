import type { SyncFrame } from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";

/** The groups of a store, for triggers that receive their states. */
export interface StateSource {
  /** Ids of groups of a stream that hold items, after `after`, sorted; empty: there are no more. */
  groups(streamName: string, after: string | undefined): Promise<readonly string[]>;
  /**
   * The state of a group, or of one item, at one position, in parts.
   *
   * @param itemId Undefined: the whole group.
   * @throws StreamError
   */
  read(group: GroupKey, itemId: string | undefined): AsyncIterable<SyncFrame>;
  /**
   * Adds an entry without an event to the outbox, after all events of the group so far. Resolves when
   * it is durable.
   */
  mark(group: GroupKey, reference: string): Promise<void>;
}
