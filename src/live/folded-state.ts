import { type Fold, createFold } from "../core/fold.ts";
import { StreamError } from "../core/errors.ts";
import type { Item } from "../core/change.ts";
import type { ItemLifetime } from "../core/lifetime.ts";
import type { GroupKey } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { SnapshotPage, SnapshotReader, StateHead, Store } from "../core/store.ts";
import { PART_LIMITS } from "./state-part.ts";

/** How often a snapshot is tried when the log moves on faster than its pages are read. */
const MAX_FOLD_ATTEMPTS = 5;
/** How many more items than are missing are read when items of a window were deleted meanwhile. */
const MARGIN = 16;

/** Most items that are read at the same time. */
const MAX_READS_AT_ONCE = 64;

/** The items of a group, or of a window, at one position. */
export interface FoldedState extends StateHead {
  readonly items: readonly Item[];
  /** Of a window. */
  readonly window: FoldedWindow | undefined;
}

interface FoldedWindow {
  /** The place of each item. @see WindowPage */
  readonly places: readonly string[];
  /** Number of items of the group. */
  readonly total: number;
}

/**
 * Reads a snapshot whose pages have positions of their own, as a whole.
 *
 * @param firstReader The reader of the first attempt, which it closes.
 * @param window Size of the window; undefined: all items.
 */
export async function foldPages(
  store: Store,
  group: GroupKey,
  firstReader: SnapshotReader,
  window?: number,
): Promise<FoldedState> {
  let reader = firstReader;
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt === MAX_FOLD_ATTEMPTS;
    let missing = 0;
    try {
      const folded = await tryFold(store, group, reader);
      missing = missingIn(folded, window);
      // Should items be deleted faster than they are read, the window stays shorter.
      if (folded !== undefined && (missing === 0 || isLast)) return newestOf(folded, window);
    } finally {
      reader.close();
    }
    if (isLast) {
      throw new StreamError(
        "STORE_UNAVAILABLE",
        "No snapshot can be taken, because the group changes faster than its history is kept; keep more history.",
      );
    }
    const margin = missing === 0 ? 0 : (missing + MARGIN) * attempt;
    reader = await store.snapshot(group, window === undefined ? undefined : window + margin);
  }
}

/** How many items a window lacks, because some were deleted while it was read. */
function missingIn(folded: FoldedState | undefined, window: number | undefined): number {
  if (folded?.window === undefined || window === undefined) return 0;
  return Math.max(0, Math.min(window, folded.window.total) - folded.items.length);
}

/** Without the items that others, created while it was read, pushed out of the window. */
function newestOf(folded: FoldedState, size: number | undefined): FoldedState {
  const { items, window } = folded;
  if (size === undefined || window === undefined || items.length <= size) return folded;
  const places = window.places.slice(-size);
  return { ...folded, items: items.slice(-size), window: { ...window, places } };
}

/**
 * One pass over the pages; undefined when the log no longer holds what changed between two of them.
 */
async function tryFold(
  store: Store,
  group: GroupKey,
  reader: SnapshotReader,
): Promise<FoldedState | undefined> {
  const fold = createFold();
  /** The place of each item of a window. */
  let places: Map<string, string> | undefined;
  let page: SnapshotPage | undefined;
  do {
    const before: Position | undefined = page?.position;
    page = await reader.next(PART_LIMITS);
    if (before !== undefined && !(await foldBetween(store, group, fold, before, page.position)))
      return undefined;
    fold.page(page.items, page.position);
    if (page.window !== undefined) {
      places ??= new Map();
      for (const [i, place] of page.window.places.entries())
        places.set(page.items[i]?.itemId ?? "", place);
    }
  } while (!page.done);
  const { items: _, done: __, next: ___, window, ...head } = page;
  const items = await withLifetimes(store, group, fold);
  if (window === undefined) return { ...head, items, window };
  const placesOf = items.map(({ itemId }) => places?.get(itemId) ?? "");
  return { ...head, items, window: { places: placesOf, total: window.total } };
}

/**
 * The items of a fold, with the lifetimes of those that changed while it was read. A lifetime changes
 * with the revision only: the one of an item that has changed again is not needed, as a later change
 * follows. Where no item had a lifetime, none is read.
 */
async function withLifetimes(store: Store, group: GroupKey, fold: Fold): Promise<readonly Item[]> {
  const items = fold.items();
  const changed = fold.changed();
  if (changed.size === 0 || !items.some(({ lifetime }) => lifetime !== undefined)) return items;
  const lifetimes = new Map<string, ItemLifetime | undefined>();
  const stale = items.filter(({ itemId }) => changed.has(itemId));
  for (let from = 0; from < stale.length; from += MAX_READS_AT_ONCE) {
    const slice = stale.slice(from, from + MAX_READS_AT_ONCE);
    const reads = slice.map(async ({ itemId, revision }) => {
      const { item } = await store.get(group, itemId);
      if (item?.revision === revision) lifetimes.set(itemId, item.lifetime);
    });
    await Promise.all(reads);
  }
  return items.map((item) =>
    changed.has(item.itemId) ? { ...item, lifetime: lifetimes.get(item.itemId) } : item,
  );
}

async function foldBetween(
  store: Store,
  group: GroupKey,
  fold: Fold,
  from: Position,
  to: Position,
): Promise<boolean> {
  let at = from;
  while (at.epoch !== to.epoch || at.revision < to.revision) {
    const replay = await store.since(group, at, PART_LIMITS);
    const last = replay.lost ? undefined : replay.changes.at(-1);
    if (replay.lost || last === undefined || last.position.epoch !== to.epoch) return false;
    fold.changes(replay.changes.filter((change) => change.position.revision <= to.revision));
    at = last.position;
  }
  return true;
}
