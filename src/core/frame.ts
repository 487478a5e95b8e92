import { NO_AUTHOR } from "./author.ts";
import type { Item, LiveEvent } from "./change.ts";
import type { Position } from "./position.ts";

/**
 * What a subscription receives, in order.
 *
 * A subscription is a sequence of segments. `sync` (one or more parts) opens one with the state at
 * a position and replaces all state before it; `resumed` opens one at the given position. Within a
 * segment every later matching change comes exactly once, in revision order (G2, G3).
 */
export type Frame = SyncFrame | ResumedFrame | LiveEvent | HeartbeatFrame;

/**
 * A part of the state at a position. All parts share the position; no change comes between them.
 */
export interface SyncFrame {
  readonly kind: "sync";
  /** In creation order. */
  readonly items: readonly Item[];
  readonly position: Position;
  readonly first: boolean;
  readonly last: boolean;
  /**
   * Unix milliseconds, before every later event of the group: the timestamp of its last event, or a
   * later one when the epoch is new. @see GroupClock
   */
  readonly timestamp: number;
  /** Of a window: whether the group has older items. */
  readonly truncated?: boolean | undefined;
  /**
   * In the last part of a truncated window: the `page_token` of a List, `descending`, of the older
   * items.
   */
  readonly olderPageToken?: string | undefined;
  /** Of a window: what a subscriber with a smaller window needs to cut it. */
  readonly window?: WindowPart | undefined;
}

/** What a part of a window has beside its items. It is not sent. */
export interface WindowPart {
  /** Number of items in all parts. */
  readonly count: number;
  /** The `olderPageToken` of a window that begins with the item of this index. */
  readonly tokenBefore: (index: number) => string;
}

/** The given position was honoured: every later change follows. */
export interface ResumedFrame {
  readonly kind: "resumed";
  /** The given position. */
  readonly position: Position;
  /** The replay reaches at least this position. */
  readonly head: Position;
}

/**
 * Every matching change up to the position was sent before; the store has just confirmed it (G5).
 */
export interface HeartbeatFrame {
  readonly kind: "heartbeat";
  readonly position: Position;
}

/** Approximate cost of holding or sending a frame, in bytes, for limits. */
export function frameBytes(frame: Frame): number {
  switch (frame.kind) {
    case "change":
    case "event":
      return frame.value.size + FRAME_OVERHEAD_BYTES + 3 * frame.author.length;
    case "delta":
      return frame.delta.size + FRAME_OVERHEAD_BYTES + 3 * frame.author.length;
    case "sync":
      return frame.items.reduce(
        (sum, item) => sum + itemBytes(item),
        FRAME_OVERHEAD_BYTES + (frame.olderPageToken?.length ?? 0),
      );
    case "resumed":
    case "heartbeat":
      return FRAME_OVERHEAD_BYTES;
  }
}

/** Whether a frame carries an author. */
export function hasAuthor(frame: Frame): boolean {
  switch (frame.kind) {
    case "change":
    case "delta":
    case "event":
      return frame.author !== NO_AUTHOR;
    case "sync":
      return frame.items.some(({ author }) => author !== NO_AUTHOR);
    case "resumed":
    case "heartbeat":
      return false;
  }
}

/** Upper bound of an item's size in a response, in bytes, in every wire form. */
export function itemBytes(item: Item): number {
  return item.value.size + ITEM_OVERHEAD_BYTES + 3 * (item.itemId.length + item.author.length);
}

/** More than the fields of a frame beside its values and author take in any wire form. */
const FRAME_OVERHEAD_BYTES = 256;
/** More than the fields of an item beside id, value and author take in any wire form. */
const ITEM_OVERHEAD_BYTES = 192;
