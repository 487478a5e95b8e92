import type { Item } from "../../core/change.ts";
import type { ReadLimits, SnapshotPage, SnapshotReader, StateHead } from "../../core/store.ts";
import type { NewestItems } from "./memory-group.ts";

/**
 * Reads the newest items of a group as they were when it was opened: it refers to their values, and
 * copies none.
 *
 * @param assertOpen Throws when the store is closed.
 */
export function windowReader(
  { items, places, total }: NewestItems,
  head: StateHead,
  assertOpen: () => void,
): SnapshotReader {
  let start = 0;
  let isClosed = false;
  return {
    stable: true,
    head,
    async next(limits): Promise<SnapshotPage> {
      assertOpen();
      const end = endOfPage(items, start, limits);
      const window = { places: places.slice(start, end), total };
      const page = items.slice(start, end);
      start = end;
      return { ...head, items: page, window, done: end === items.length };
    },
    skip(page) {
      if (!isClosed) start += page.items.length;
      return !isClosed;
    },
    close() {
      isClosed = true;
    },
  };
}

function endOfPage(items: readonly Item[], start: number, limits: ReadLimits): number {
  let bytes = 0;
  let end = start;
  for (; end < items.length; end++) {
    bytes += (items[end] as Item).value.size;
    if (end > start && (end - start >= limits.maxCount || bytes > limits.maxBytes)) break;
  }
  return end;
}
