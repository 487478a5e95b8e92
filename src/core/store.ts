import type { Unwatch } from "./watchers.ts";
import type { ChangeEvent, GroupEvent, Item, LoggedChange } from "./change.ts";
import type { Delta } from "./delta.ts";
import type { StreamError } from "./errors.ts";
import type { Idempotency, Remembered } from "./idempotency-key.ts";
import type { Cause, Lifetime, Lifetimes } from "./lifetime.ts";
import type { LogRange } from "./log-range.ts";
import type { GroupKey } from "./names.ts";
import type { OpError } from "./ops.ts";
import type { Firing, Outbox } from "./outbox.ts";
import type { Position } from "./position.ts";
import type { Reduce } from "./reduce.ts";
import type { Head, ReadLimits, SnapshotReader, StateHead } from "./snapshot.ts";
import type { Value } from "./value.ts";

export type {
  Head,
  ReadLimits,
  SnapshotPage,
  SnapshotReader,
  StateHead,
  WindowPage,
} from "./snapshot.ts";

/**
 * The store port: data, log and feed of all groups.
 *
 * What a store promises (the shared suite in test/stores verifies every implementation):
 *
 * - A commit is one atomic step: items, revisions, log entries, outbox entries and announcement. No
 *   read, snapshot or crash shows part of it (G1). A failed commit changes nothing.
 * - The feed announces exactly the changes in the log, in log order, each once, and only after it
 *   is durable (G2, G6).
 * - A commit is visible to every read that starts after `run` resolved, at any process (G10).
 * - A store keeps values as opaque text. It runs the pure functions it is given atomically and
 *   never interprets an update step.
 * - Names and values that reach it are valid: the service checks them.
 * - Failures are StreamErrors: STORE_UNAVAILABLE when nothing happened, OUTCOME_UNKNOWN when a
 *   commit may have happened.
 *
 * The clock of a group: an event's `timestamp` is `max(now, last + 1)`, kept with the group, so
 * that it strictly increases over changes, transient events and restarts. A read of the state has a
 * `syncTimestamp`, and every later event of the group has a later timestamp (GroupClock has the
 * rule). It is that of the last event; for a group without a record, and for one whose epoch
 * changed without an event since, one that is not before any timestamp of an earlier epoch.
 *
 * The log of a group: a change leaves it when it is older than `maxAgeMs`, or `maxChanges` newer
 * ones exist, or the log exceeds `maxBytes`, whichever comes first; idle groups are swept too. An
 * emptied group keeps its epoch, revision and log for at least `maxAgeMs` after its last change, and
 * as long as it has idempotency keys; then it is forgotten, and its next write starts a new epoch. retention.ts has an example.
 */
export interface Store {
  /**
   * Runs independent commits of one group, in order. Each is all or nothing: a refusal (a failed
   * expectation, a reduce that threw) affects only its own commit.
   *
   * @returns One outcome per commit, in order.
   * @throws StreamError STORE_UNAVAILABLE, OUTCOME_UNKNOWN when the store itself failed.
   */
  run(group: GroupKey, commits: readonly Commit[]): Promise<readonly Outcome[]>;

  /**
   * Announces a transient event to the watchers of the group, after every change committed before
   * it and before every later one. The event takes the group's next timestamp and is never logged.
   * It neither creates the group nor changes its position.
   */
  broadcast(group: GroupKey, message: Broadcast): Promise<void>;

  /** Reads one item together with its group's head, in one step. */
  get(group: GroupKey, itemId: string): Promise<ItemRead>;

  /**
   * What the group remembers of a commit with this caller and key, within the window, whatever its
   * fingerprint; undefined when it does not. A commit decides on its own: the service reads this to
   * decide whether to ask a write gate.
   *
   * A store without it does not remember keys: the service refuses requests that have one.
   */
  recall?(group: GroupKey, idempotency: Idempotency): Promise<Remembered | undefined>;

  /** Heads of groups, in the requested order. A group that was never written is at the origin. */
  heads(groups: readonly GroupKey[]): Promise<readonly Head[]>;

  /**
   * Reads a page of items in creation order, or from the newest item. `after` is the `next` of the
   * page before. The pages together contain every item that existed throughout exactly once. A page
   * costs what it contains, however many items the group has.
   */
  list(group: GroupKey, page: ItemPageRequest): Promise<ItemPage>;

  /**
   * Opens a reader of all items of a group, page by page, so that a large group is never held in
   * memory as a whole. The caller closes it.
   *
   * @param window Only the newest items, this many, in creation order; opening it costs what they
   *   cost. Its pages have a `window`. Infinity: all items, with it. Absent: all items, without.
   */
  snapshot(group: GroupKey, window?: number): Promise<SnapshotReader>;

  /**
   * Reads changes after a position, oldest first, up to the limits but at least one.
   *
   * Every change has its whole value, and its `delta` as well where the log has it.
   *
   * @returns `lost` when the log cannot prove that nothing is missing (see isResumable).
   */
  since(group: GroupKey, from: Position, limits: ReadLimits): Promise<Replay>;

  /**
   * Reads changes after a position like `since`, but in the smallest form: an update whose delta
   * the log has comes as a DeltaEvent, so that reading it costs what its steps cost. A store
   * without deltas in its log leaves it out.
   */
  deltasSince?(group: GroupKey, from: Position, limits: ReadLimits): Promise<Replay<LoggedChange>>;

  /**
   * Reads which changes the log holds, in one step. Those from `oldest` to the head can be read with
   * `since` until they are trimmed.
   */
  logRange(group: GroupKey): Promise<LogRange>;

  /** Ids of the groups of a stream that hold items, after `after`, sorted by UTF-8 bytes. */
  groups(streamName: string, page: { after?: string; limit: number }): Promise<readonly string[]>;

  /**
   * Groups of all streams that hold items, after `after`, sorted by (stream, group) in UTF-8 bytes.
   */
  allGroups(page: { after?: GroupKey; limit: number }): Promise<GroupPage>;

  /**
   * Calls the listener with every event of the group announced from now on, in order, one at a
   * time. Resolves once active: commits that start later are delivered. A listener must not block.
   *
   * @param onDoubt Called by stores whose feed can lose events, when some may have been missed: the
   *   watcher then has to compare what it received with `heads` and the log.
   */
  watch(
    group: GroupKey,
    listener: (event: GroupEvent) => void,
    onDoubt?: () => void,
  ): Promise<Unwatch>;

  /** Events whose triggers have yet to run. */
  readonly outbox: Outbox;

  /** Lifetimes of items. */
  readonly lifetimes: Lifetimes;

  /**
   * Takes a history for each stream, made of the one that the store was opened with. Called at most
   * once, before anything is read or written. Absent: all streams have the same history.
   */
  useHistory?(historyWith: (own: History) => (streamName: string) => History): void;

  /**
   * Why the store accepts no writes, until it is reopened or its server responds again. Absent or
   * undefined while it works.
   */
  readonly failure?: StreamError | undefined;

  /**
   * Finishes calls in progress, flushes and closes. Later calls fail with STORE_UNAVAILABLE.
   * Idempotent.
   */
  close(): Promise<void>;
}

/** One atomic step. */
export interface Commit {
  /** Applied in order; each sees the ones before it. */
  readonly mutations: readonly Mutation[];
  /** Epoch that the group must have; `""`: it was never written. @see StreamError EPOCH_MISMATCH */
  readonly expectedEpoch?: string | undefined;
  /** Makes the commit take effect once, however often it is repeated. Absent: every time. */
  readonly idempotency?: Idempotency | undefined;
  /**
   * Author of all its changes: `user:<id>`, `key:<name>` or `function:<id>`. The id of a user has at
   * most 256 bytes of UTF-8; ids of functions and names of keys have limits of their own. Absent or
   * "": it has none, and the changes take no more room than without authors.
   */
  readonly author?: string | undefined;
  /**
   * Most bytes that old and new values of all mutations may have together (by `Value.size`),
   * because they have to fit into one response. Beyond it the commit is refused:
   * RESPONSE_TOO_LARGE.
   */
  readonly maxReturnBytes?: number | undefined;
  /**
   * Most bytes that the errors of all reduces may have together, because they have to fit into one
   * response too. Beyond it the commit is refused: RESPONSE_TOO_LARGE.
   */
  readonly maxErrorBytes?: number | undefined;
}

/**
 * A write of one item. `expectedRevision` is checked against the group as it was before the commit:
 * 0 means that the item must not exist. If the write makes a change, `fires` enters the outbox with
 * it.
 */
export type Mutation =
  | {
      readonly kind: "put";
      readonly itemId: string;
      readonly value: Value;
      /** Lifetime of the item. Absent: it has none, whatever it had. */
      readonly lifetime?: Lifetime | undefined;
      readonly expectedRevision?: number | undefined;
      readonly fires?: Firing | undefined;
    }
  | {
      readonly kind: "reduce";
      readonly itemId: string;
      readonly reduce: Reduce;
      /**
       * The steps of the update as JSON text, for custom streams.
       */
      readonly steps?: (() => string) | undefined;
      /**
       * Whether the reduce may refuse its result by the settings of the stream. Then custom streams
       * run it before they pass the steps on.
       */
      readonly mayRefuse?: boolean | undefined;
      /** Memory that the reduce holds, in bytes, for the limits of queues. */
      readonly bytes: number;
      /** Parts of the item's lifetime to replace. Absent ones stay as they are. */
      readonly lifetime?: Lifetime | undefined;
      /** Lifetime of an item that the reduce creates, as far as `lifetime` does not say. */
      readonly initialLifetime?: Lifetime | undefined;
      readonly expectedRevision?: number | undefined;
      readonly fires?: Firing | undefined;
    }
  | {
      readonly kind: "delete";
      readonly itemId: string;
      /** Why the service itself deletes it. Absent: a caller does. */
      readonly cause?: Cause | undefined;
      /** The item is deleted only if it meets this. Absent: in any case. */
      readonly onlyIf?: ItemCondition | undefined;
      readonly expectedRevision?: number | undefined;
      readonly fires?: Firing | undefined;
    }
  | {
      /**
       * Records a change that was made outside the store (see custom streams): the event has the
       * given values, whatever the group itself holds. Nothing happens when both are undefined.
       */
      readonly kind: "record";
      readonly itemId: string;
      readonly before: Value | undefined;
      readonly after: Value | undefined;
      /** The steps that made it, on the item that the group holds; else they are ignored. */
      readonly delta?: Delta | undefined;
      /** Steps that were skipped. */
      readonly errors?: readonly OpError[] | undefined;
      readonly expectedRevision?: undefined;
      readonly fires?: Firing | undefined;
    };

/** What the service read of an item that it is about to delete; absent parts match anything. */
export interface ItemCondition {
  readonly revision?: number | undefined;
  /**
   * Last revision at which it may have been created. That of the position at which it was read means:
   * the same item, however often it was updated since, and not a later one with its id.
   */
  readonly maxCreatedRevision?: number | undefined;
  /** Wall clock of its end, Unix milliseconds. */
  readonly expireTimeMs?: number | undefined;
  /** Id of the connection that it is bound to. */
  readonly connection?: string | undefined;
}

/** Outcome of a commit. */
export type Outcome = Committed | Refused;

/** The commit took effect. */
export interface Committed {
  readonly ok: true;
  /** Position of the group after the commit (that of its last change, if it made any). */
  readonly position: Position;
  /** One result per mutation, in order. Of a repetition: without values and errors. */
  readonly results: readonly MutationResult[];
  /**
   * Whether this repeats an earlier commit with the same idempotency key: nothing was changed, and
   * `position` and the revisions of the results are those of the first one.
   */
  readonly deduplicated?: boolean | undefined;
}

/** The commit changed nothing. */
export interface Refused {
  readonly ok: false;
  /**
   * Its metadata has `current_revision` for a revision mismatch, and `index` in a commit of several
   * mutations.
   */
  readonly error: StreamError;
}

/** Result of one mutation. */
export interface MutationResult {
  /** Revision of the change; undefined when nothing changed (a delete of a missing item). */
  readonly revision: number | undefined;
  /** Of a repetition: whether the first commit created the item. Otherwise `oldValue` says it. */
  readonly created?: boolean | undefined;
  /** Value before; undefined when there was no item. */
  readonly oldValue: Value | undefined;
  /** Value now; undefined after a delete. */
  readonly newValue: Value | undefined;
  /** Steps that a reduce reported as skipped. */
  readonly errors: readonly OpError[];
}

/** A transient event to announce. */
export interface Broadcast {
  readonly type: string;
  readonly itemId: string | undefined;
  readonly value: Value;
  /** Author of the event, as that of a commit. Absent or "": it has none. */
  readonly author?: string | undefined;
  /** Enters the outbox with it. */
  readonly fires?: Firing | undefined;
  /** Whether it only enters the outbox, in its place: watchers do not receive it. Default false. */
  readonly isQuiet?: boolean | undefined;
}

/** An item, or its absence, at a position of its group. */
export interface ItemRead extends StateHead {
  /** Undefined when there is none. */
  readonly item: Item | undefined;
}

/** Which page of items to read. */
export interface ItemPageRequest extends ReadLimits {
  /** Whether to read from the newest item to the oldest. Default false. */
  readonly descending?: boolean | undefined;
  /** `next` of the page before; absent for the first page. */
  readonly after?: string | undefined;
}

/** A page of items in creation order. */
export interface ItemPage {
  readonly items: readonly Item[];
  /** Position at which the page was read. */
  readonly position: Position;
  /** Number of items that the group has at this position, in all. */
  readonly itemCount: number;
  /** Opaque cursor of the next page; undefined on the last. Valid as long as the epoch. */
  readonly next: string | undefined;
}

/** Changes after a position. */
export type Replay<Change = ChangeEvent> =
  | {
      readonly lost: false;
      /** Contiguous, oldest first. */
      readonly changes: readonly Change[];
      /**
       * Position of the group when the log was read. When the last change is before it, more is to
       * be read.
       */
      readonly head: Position;
    }
  | { readonly lost: true; readonly head: Position };

/** A page over all streams. */
export interface GroupPage {
  readonly groups: readonly GroupKey[];
  /** Number of all streams that hold items. */
  readonly streamCount: number;
}

/** How much history a group keeps. Exceeding any limit drops the oldest changes. */
export interface History {
  /** Most changes. Default 1,000. */
  readonly maxChanges: number;
  /** Longest age, in milliseconds of wall clock. Default one hour. */
  readonly maxAgeMs: number;
  /** Most bytes of values. Default 8 MiB. */
  readonly maxBytes: number;
}

/** Default limits of history. */
export const DEFAULT_HISTORY: History = {
  maxChanges: 1000,
  maxAgeMs: 3_600_000,
  maxBytes: 8 * 1024 * 1024,
};
