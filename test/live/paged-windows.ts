import type { SnapshotReader, Store } from "../../src/core/store.ts";
import { bound } from "./unreliable-feed.ts";

const ALL = { maxCount: 1e9, maxBytes: 1e9 };

/**
 * A store that reads the pages of a window one by one, each at its own position, as a remote server
 * does.
 *
 * @param pageSize Items of a page.
 */
export function withPagedWindows(store: Store, pageSize: number): Store {
  const pages = async (
    group: Parameters<Store["snapshot"]>[0],
    window: number,
  ): Promise<SnapshotReader> => {
    /** The place of the last item that was read. */
    let after: number | undefined;
    return {
      stable: false,
      async next() {
        const reader = await store.snapshot(group, Infinity);
        const { items, window: all, ...head } = await reader.next(ALL);
        reader.close();
        const places = all?.places ?? [];
        const last = after;
        const start =
          last === undefined
            ? Math.max(0, items.length - window)
            : places.filter((place) => Number(place) <= last).length;
        const end = Math.min(items.length, start + pageSize);
        const page = { places: places.slice(start, end), total: items.length };
        after = Number(page.places.at(-1) ?? last ?? 0);
        return {
          ...head,
          items: items.slice(start, end),
          window: page,
          done: end === items.length,
        };
      },
      close() {},
    };
  };
  return {
    ...bound(store),
    snapshot: (group, window) =>
      window === undefined ? store.snapshot(group) : pages(group, window),
  };
}
