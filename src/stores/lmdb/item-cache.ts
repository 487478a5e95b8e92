import type { StoredItem } from "../../core/commit.ts";
import { RecentMap } from "../../core/recent-map.ts";

/** More than an entry takes beside its value, in bytes. */
const ENTRY_BYTES = 256;

/**
 * Items as they are in the latest durable state: those written or read by a commit last. A commit
 * that replaces one of them need not read it, and whoever is told of its old value gets an instance that
 * is encoded already.
 */
export class ItemCache {
  readonly #items: RecentMap<string, StoredItem>;

  /** @param maxBytes About how much it may take. */
  constructor(maxBytes: number) {
    this.#items = new RecentMap(maxBytes, bytesOf);
  }

  /**
   * An item; undefined when it is not known here, whether it exists or not.
   *
   * @param key As `cacheKey` makes it.
   */
  get(key: string): StoredItem | undefined {
    return this.#items.get(key);
  }

  /** Notes what an item is now; undefined: it is gone. */
  set(key: string, item: StoredItem | undefined): void {
    if (item === undefined) this.#items.delete(key);
    else this.#items.set(key, item);
  }
}

/**
 * An item's key in the cache. To be made once where it is needed twice: finding its place costs less then.
 *
 * @param group As `groupKeyText` writes it.
 */
export function cacheKey(group: string, itemId: string): string {
  // Names hold no control characters.
  return `${group}\u0000${itemId}`;
}

// Text, and its encoded form.
function bytesOf({ item }: StoredItem): number {
  return 2 * item.value.size + ENTRY_BYTES;
}
