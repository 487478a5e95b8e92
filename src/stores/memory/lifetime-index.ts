import type { ExpiredItem, ItemLifetime, ItemName } from "../../core/lifetime.ts";
import { groupKeyText } from "../../core/names.ts";
import { compareUtf8 } from "../../core/text.ts";
import { SortedMap } from "./sorted-map.ts";

/** An item that goes by itself, with its names as one string. */
interface Entry extends ItemName {
  readonly text: string;
  readonly lifetime: ItemLifetime;
}

/** The items of a store that go by themselves, by the time of their end and by connection. */
export class LifetimeIndex {
  readonly #ends = new SortedMap<Entry, undefined>(
    (a, b) => endOf(a) - endOf(b) || compareUtf8(a.text, b.text),
  );
  readonly #bound = new Map<string, Map<string, Entry>>();

  /**
   * Takes note of a write of an item.
   *
   * @param before Its lifetime before; undefined: it had none, or did not exist.
   * @param after Its lifetime now; undefined: it has none, or is gone.
   */
  change(item: ItemName, before: ItemLifetime | undefined, after: ItemLifetime | undefined): void {
    // An update that keeps the lifetime keeps the object.
    if (before === after) return;
    const text = `${groupKeyText(item.group)}\u0000${item.itemId}`;
    if (before !== undefined) this.#remove({ ...item, text, lifetime: before });
    if (after !== undefined) this.#add({ ...item, text, lifetime: after });
  }

  /** Items whose end is at or before a time, the earliest first. */
  expired(nowMs: number, limit: number): ExpiredItem[] {
    const found: ExpiredItem[] = [];
    for (const [entry] of this.#ends.entries()) {
      const expireTimeMs = endOf(entry);
      if (found.length >= limit || expireTimeMs > nowMs) break;
      found.push({ group: entry.group, itemId: entry.itemId, expireTimeMs });
    }
    return found;
  }

  /** Items that are bound to a connection. */
  boundTo(connection: string, limit: number): ItemName[] {
    const found: ItemName[] = [];
    for (const entry of this.#bound.get(connection)?.values() ?? []) {
      if (found.length >= limit) break;
      found.push(entry);
    }
    return found;
  }

  /** Connections that items are bound to, sorted by UTF-8 bytes. */
  connections({ after, limit }: { readonly after?: string; readonly limit: number }): string[] {
    return Array.from(this.#bound.keys())
      .filter((connection) => after === undefined || compareUtf8(connection, after) > 0)
      .sort(compareUtf8)
      .slice(0, limit);
  }

  #add(entry: Entry): void {
    const { expireTimeMs, connection } = entry.lifetime;
    if (expireTimeMs !== undefined) this.#ends.set(entry, undefined);
    if (connection === undefined) return;
    let items = this.#bound.get(connection);
    if (items === undefined) this.#bound.set(connection, (items = new Map()));
    items.set(entry.text, entry);
  }

  #remove(entry: Entry): void {
    const { expireTimeMs, connection } = entry.lifetime;
    if (expireTimeMs !== undefined) this.#ends.delete(entry);
    if (connection === undefined) return;
    const items = this.#bound.get(connection);
    items?.delete(entry.text);
    if (items?.size === 0) this.#bound.delete(connection);
  }
}

function endOf({ lifetime }: Entry): number {
  return lifetime.expireTimeMs ?? Infinity;
}
