import type { Item } from "./change.ts";
import type { Position } from "./position.ts";

/** The head of a group. */
export interface Head {
  readonly position: Position;
  /** Timestamp of the group's last event; 0 when there was none. */
  readonly timestamp: number;
}

/** The head of a group, with the timestamp of a sync of its state. */
export interface StateHead extends Head {
  /**
   * Timestamp of the `sync` that carries this state, at least 1. Absent: `timestamp`; then clients
   * that order by time may drop the first sync of a new epoch.
   */
  readonly syncTimestamp?: number | undefined;
}

/** Limits of one read: it ends at whichever comes first, but has at least one entry. */
export interface ReadLimits {
  readonly maxCount: number;
  /** By `Value.size`. */
  readonly maxBytes: number;
}

/** Reads a group's items in creation order. */
export interface SnapshotReader {
  /**
   * Whether all pages have one position. If not, each has its own, and the caller folds in the
   * changes between them (see fold).
   */
  readonly stable: boolean;
  /**
   * Head of the group in all pages, if the store knows it before it reads one. Used with `skip`.
   */
  readonly head?: Head;
  /**
   * The next page. Must not be called after the page with `done`, nor before the last call
   * resolved.
   */
  next(limits: ReadLimits): Promise<SnapshotPage>;
  /**
   * Skips the next page, which another reader of the same group, at the same head, has read at the
   * same place. For stores that can continue after a page they have not read; without it, every
   * reader reads every page.
   *
   * @returns false when it cannot skip: then nothing has happened.
   */
  skip?(page: SnapshotPage): boolean;
  /** Releases what the reader holds. Idempotent. */
  close(): void;
}

/** A page of a snapshot. */
export interface SnapshotPage extends StateHead {
  readonly items: readonly Item[];
  /** Whether this is the last page. */
  readonly done: boolean;
  /** Where the page after it begins, for `skip`. Opaque outside the store. */
  readonly next?: string | undefined;
  /** Of a reader of a window. */
  readonly window?: WindowPage | undefined;
}

/** What a page of a window has beside its items. */
export interface WindowPage {
  /**
   * For each item, the cursor of a descending page (`ItemPageRequest.after`) that begins with the
   * item before it.
   */
  readonly places: readonly string[];
  /** Number of items of the group. */
  readonly total: number;
}
