import type { ChangeEvent, Item } from "../core/change.ts";
import type { OpError, UpdateOp } from "../core/ops.ts";
import type { Position } from "../core/position.ts";
import type { Value } from "../core/value.ts";

/**
 * Requests and results of the handlers. The handlers check names, numbers and the presence of
 * values; a `Value` is always valid. `undefined` means absent.
 */

/** Names a group, unchecked. */
export interface GroupRequest {
  readonly streamName: string;
  readonly groupId: string;
}

/** Names an item, unchecked. */
export interface ItemRequest extends GroupRequest {
  readonly itemId: string;
}

/** State of the item and the group that a write requires. */
export interface Expectations {
  /** Revision of the item; 0: it must not exist. */
  readonly expectedRevision?: number | undefined;
  /** Epoch of the group; empty: it was never written. */
  readonly expectedEpoch?: string | undefined;
}

/** Makes a write take effect once, however often it is repeated. */
export interface Keyed {
  /**
   * 1 to 128 bytes, unique among the caller's writes of the group within the idempotency window (ten
   * minutes by default). A repetition changes nothing and has the result of the first write, without
   * values; the same key with another request is refused: IDEMPOTENCY_MISMATCH.
   */
  readonly idempotencyKey?: string | undefined;
}

/** Says that a result is that of an earlier write with the same key. */
export interface Repeatable {
  /** True when nothing was changed: positions and `created` are those of the first write. */
  readonly deduplicated?: boolean | undefined;
}

/** The lifetime of an item. */
export interface TimeToLive {
  /** Lifetime from now on, in milliseconds: 1 s to 10 years. Absent: @see SetRequest, UpdateRequest */
  readonly ttl?: number | undefined;
}

/** Binds an item to the connection of the caller. */
export interface Binding {
  /** Whether the item lives as long as the connection. Only for calls over a socket with hello. */
  readonly whileConnected?: boolean | undefined;
}

/**
 * Stores a value, and replaces the lifetime of the item: without `ttl` by that of the stream's
 * settings.
 */
export interface SetRequest extends ItemRequest, Expectations, Keyed, TimeToLive, Binding {
  readonly data: Value | undefined;
}

/** Result of a set. */
export interface SetResult extends Repeatable {
  /** Undefined when there was no item, the caller may not read it, or the result is deduplicated. */
  readonly oldValue: Value | undefined;
  /** Undefined when the caller may not read it, or the result is deduplicated. */
  readonly newValue: Value | undefined;
  readonly created: boolean;
  readonly position: Position;
}

/** Changes a value by steps. Without `ttl` the item keeps its lifetime. */
export interface UpdateRequest extends ItemRequest, Expectations, Keyed, TimeToLive, Binding {
  readonly ops: readonly UpdateOp[];
}

/** Result of an update. */
export interface UpdateResult extends SetResult {
  /** Steps that were skipped. */
  readonly errors: readonly OpError[];
}

/** Removes an item. */
export interface DeleteRequest extends ItemRequest, Expectations, Keyed {}

/** Result of a delete. */
export interface DeleteResult extends Repeatable {
  readonly oldValue: Value | undefined;
  /** Undefined when there was no item, and so no change. */
  readonly position: Position | undefined;
}

/** One write of a batch. */
export type BatchMutation =
  | {
      readonly kind: "set";
      readonly itemId: string;
      readonly data: Value | undefined;
      readonly ttl?: number | undefined;
      readonly expectedRevision?: number | undefined;
    }
  | {
      readonly kind: "update";
      readonly itemId: string;
      readonly ops: readonly UpdateOp[];
      readonly ttl?: number | undefined;
      readonly expectedRevision?: number | undefined;
    }
  | {
      readonly kind: "delete";
      readonly itemId: string;
      readonly expectedRevision?: number | undefined;
    };

/** Several writes of one group in one step. */
export interface BatchRequest extends GroupRequest, Keyed {
  readonly mutations: readonly BatchMutation[];
  readonly expectedEpoch?: string | undefined;
  /** Whether results carry values. */
  readonly returnValues: boolean;
}

/** Result of one write of a batch. Values are undefined unless `returnValues` is true. */
export type BatchMutationResult =
  | {
      readonly kind: "set";
      readonly result: SetResult;
    }
  | {
      readonly kind: "update";
      readonly result: UpdateResult;
    }
  | { readonly kind: "delete"; readonly result: DeleteResult };

/** Result of a batch. */
export interface BatchResult extends Repeatable {
  /** One per mutation, in order. */
  readonly results: readonly BatchMutationResult[];
  /** Position of the group after the batch. */
  readonly position: Position;
}

/** A transient event. */
export interface SendRequest extends GroupRequest {
  /** Empty or absent: `message`. */
  readonly type?: string | undefined;
  readonly data: Value | undefined;
  readonly itemId?: string | undefined;
}

/** The page of a listing to read. */
export interface PageRequest {
  /** 0: 100; more than 1,000 counts as 1,000. */
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

/** Which page of a group's items to read. */
export interface ListRequest extends GroupRequest, PageRequest {
  /** Whether to list from the newest item. Default false. */
  readonly descending?: boolean | undefined;
}

/** A page of items. */
export interface ListResult {
  readonly items: readonly Item[];
  readonly position: Position;
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Which page of a group's changes to read. */
export interface HistoryRequest extends GroupRequest, PageRequest {
  /** Only changes of this item. */
  readonly itemId?: string | undefined;
  /** First and last revision, inclusive; absent: as far as the log has them. */
  readonly fromRevision?: number | undefined;
  readonly toRevision?: number | undefined;
  /** Whether to list from the newest change to the oldest. Default false. */
  readonly descending?: boolean | undefined;
}

/** A page of changes. */
export interface HistoryResult {
  /** May be empty although more follow. */
  readonly changes: readonly ChangeEvent[];
  /** Position of the oldest change in the log; undefined when the log is empty. */
  readonly oldest: Position | undefined;
  readonly head: Position;
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Which page of a stream's groups to read. */
export interface ListGroupsRequest extends PageRequest {
  readonly streamName: string;
}

/** A page of groups. */
export interface ListGroupsResult {
  readonly groups: readonly string[];
  readonly nextPageToken: string;
}

/** A page of all streams. */
export interface ListAllResult {
  readonly streams: readonly { readonly streamName: string; readonly groups: readonly string[] }[];
  /** Number of all streams. */
  readonly count: number;
  readonly nextPageToken: string;
}

/** The group or item to follow. */
export interface SubscribeRequest extends GroupRequest {
  readonly itemId?: string | undefined;
  readonly resumeFrom?: Position | undefined;
  /** Only the newest items come in snapshots, this many: 1 to 10,000. Not with `itemId`. */
  readonly window?: number | undefined;
  /** Whether updates may come as their steps. Absent: they come with their whole values. */
  readonly deltas?: boolean | undefined;
  /** Address of the caller, to which its unread snapshots count. Absent: a caller in this process. */
  readonly address?: string | undefined;
}

/** A subscription that asks for admission. */
export interface JoinRequest extends GroupRequest {
  readonly itemId: string | undefined;
  /** Id that its client gave it. */
  readonly subscriptionId: string;
  /** Whether it is provisional: @see Provisional. Default false. */
  readonly isProvisional?: boolean | undefined;
}
