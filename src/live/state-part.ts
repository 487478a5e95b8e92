import type { SyncFrame } from "../core/frame.ts";
import type { Item } from "../core/change.ts";
import type { GroupKey } from "../core/names.ts";
import { itemPageToken } from "../core/page-token.ts";
import type { ReadLimits, StateHead } from "../core/store.ts";

/**
 * Size of one part of a snapshot or replay. Small, so that a slow reader shows progress and, with a
 * store whose snapshots are stable, a large group is never held as a whole.
 */
export const PART_LIMITS: ReadLimits = { maxCount: 1000, maxBytes: 256 * 1024 };

/** A part of a window. */
export interface PartOfWindow {
  readonly group: GroupKey;
  /** Number of items of the group, and of the window. */
  readonly total: number;
  readonly count: number;
  /** The place of each item of this part. @see WindowPage */
  readonly places: readonly string[];
  /** The place of the window's first item; undefined: it has none. */
  readonly first: string | undefined;
}

/** A part of a state. @param window Undefined: it is not of a window. */
export function stateFrame(
  items: readonly Item[],
  { position, timestamp, syncTimestamp = timestamp || 1 }: StateHead,
  first: boolean,
  last: boolean,
  window?: PartOfWindow,
): SyncFrame {
  if (window === undefined)
    return { kind: "sync", items, position, first, last, timestamp: syncTimestamp };
  const { group, total, count, places } = window;
  const token = (place: string) => itemPageToken(group, true, position.epoch, place);
  const truncated = total > count;
  const hasToken = truncated && last && window.first !== undefined;
  return {
    kind: "sync",
    items,
    position,
    first,
    last,
    timestamp: syncTimestamp,
    truncated,
    olderPageToken: hasToken ? token(window.first) : undefined,
    window: { count, tokenBefore: (index) => token(places[index] ?? "") },
  };
}
