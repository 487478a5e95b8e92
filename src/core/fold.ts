import type { ChangeEvent, Item } from "./change.ts";
import { ORIGIN, type Position } from "./position.ts";

/**
 * Folds the pages of a snapshot, each read at its own position, and the changes between them into
 * the exact items of the group, in creation order, at the position of the last page.
 *
 * Use: `page`, then for each further page first `changes` with everything from the position of the
 * page before to that of the new one, then `page`. After the last page, `items` is exact.
 *
 * Why it is exact. Call the creation order of the last item read so far c, and the position of the
 * last page P. The fold always holds the group's items up to c as they are at P:
 *
 * - A page read at P gives every item after the old c up to the new one, as they are at P, and the
 *   changes up to P have brought the items before them to P. Both parts are at P.
 * - Going from P to a later P', the items up to c can lose members and can have their values
 *   replaced, but never gain one: an item created after P goes last in the order, behind c. So a
 *   `create` is left to the pages to come; they are read at P' or later and show the item as it is
 *   then, if it still exists. An `update` of an item that the fold does not hold concerns an item
 *   behind c, and is left to the pages for the same reason. An `update` or `delete` of one that it
 *   holds is applied.
 * - An item that is deleted and created again moves behind c: its `delete` removes it, its `create`
 *   and its later `update`s find nothing to change, and a later page adds it, in its new place.
 * - Two updates of one item are applied in revision order, so the later one stays.
 * - The last page reaches the end of the order at its P: nothing is behind c then.
 */
export interface Fold {
  /**
   * Takes changes after the last page, oldest first. They may begin before its position and go
   * beyond that of the next page, in several calls: the revision decides, and each change counts
   * once. Changes before the first page are ignored.
   *
   * @throws Error when revisions are missing between them.
   */
  changes(events: readonly ChangeEvent[]): void;

  /**
   * Takes the next page of items, in creation order, as read at `position`.
   *
   * @throws Error when the changes taken do not reach from the last page to this one. That is a
   *   mistake of the caller, which has to start over when the log no longer holds them.
   */
  page(items: readonly Item[], position: Position): void;

  /**
   * The items read so far, in creation order, as they are at the position of the last page. The
   * lifetimes of those that `changed` names are unknown: changes do not say them.
   */
  items(): Item[];

  /** Ids of the items whose last change was not read with a page. */
  changed(): ReadonlySet<string>;
}

/** An empty fold. */
export function createFold(): Fold {
  // A Map keeps insertion order: a replaced value keeps its place, a deleted and re-set one goes
  // last.
  const held = new Map<string, Item>();
  const changed = new Set<string>();
  let at: Position | undefined;
  // Changes after `at`, contiguous. Those beyond the next page wait for the page after it.
  let pending: ChangeEvent[] = [];

  function apply(change: ChangeEvent): void {
    const item = held.get(change.itemId);
    // Behind the last item read: a creation, or a later change of what it created.
    if (item === undefined) return;
    if (change.type === "delete") {
      held.delete(change.itemId);
      changed.delete(change.itemId);
    } else {
      changed.add(change.itemId);
      held.set(change.itemId, {
        itemId: item.itemId,
        value: change.value,
        revision: change.position.revision,
        createTimeMs: item.createTimeMs,
        updateTimeMs: change.timeMs,
        author: change.author,
      });
    }
  }

  function advance(from: Position, to: Position): void {
    const count = to.revision - from.revision;
    const between = count > 0 ? pending.slice(0, count) : [];
    const isWhole =
      between.length === count &&
      (from.epoch === to.epoch || from.epoch === ORIGIN.epoch) &&
      between.every((change) => change.position.epoch === to.epoch);
    if (!isWhole) throw new Error("The changes do not reach from the last page to this one.");
    for (const change of between) apply(change);
    pending = pending.slice(count);
  }

  return {
    changes(events) {
      if (at === undefined) return;
      for (const event of events) {
        const { revision } = event.position;
        const next = at.revision + pending.length + 1;
        if (revision > next) throw new Error("The changes have a gap.");
        if (revision === next) pending.push(event);
      }
    },
    page(items, position) {
      if (at !== undefined) advance(at, position);
      for (const item of items) held.set(item.itemId, item);
      at = position;
    },
    items: () => [...held.values()],
    changed: () => changed,
  };
}
