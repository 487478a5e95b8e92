import type { StoredItem } from "../../core/commit.ts";
import { RecentMap } from "../../core/recent-map.ts";

/** Upper estimate of an entry's size without value and author, in bytes. */
const ENTRY_BYTES = 256;

/**
 * Items of the latest durable state: those that commits wrote or read last. A commit that replaces
 * one of them need not read it, and a response with its old value gets an instance that is already
 * encoded.
 */
export class ItemCache {
  readonly #items: RecentMap<string, StoredItem>;

  /** @param maxBytes Its approximate size. */
  constructor(maxBytes: number) {
    this.#items = new RecentMap(maxBytes, bytesOf);
  }

  /**
   * An item; undefined when it is not cached, whether it exists or not.
   *
   * @param key A key made by `cacheKey`.
   */
  get(key: string): StoredItem | undefined {
    return this.#items.get(key);
  }

  /** Sets the current state of an item; undefined: it was deleted. */
  set(key: string, item: StoredItem | undefined): void {
    if (item === undefined) this.#items.delete(key);
    else this.#items.set(key, item);
  }
}

/**
 * An item's key in the cache. To be reused where it is needed twice: its hash is computed only once
 * then.
 *
 * @param group The group's `groupKeyText`.
 */
export function cacheKey(group: string, itemId: string): string {
  // Names hold no control characters.
  return `${group}\u0000${itemId}`;
}

// The text and its encoded form.
function bytesOf({ item }: StoredItem): number {
  return 2 * item.value.size + item.author.length + ENTRY_BYTES;
}
