import type { ConnectionPage, ExpiredItem, ItemLifetime, ItemName } from "../../core/lifetime.ts";
import type { GroupKey } from "../../core/names.ts";
import { compareUtf8 } from "../../core/text.ts";

/**
 * The lifetime of an item in a memory store. It knows its place in the index, so that a change of
 * an item needs no search.
 */
class IndexedLifetime implements ItemLifetime {
  readonly expireTimeMs: number | undefined;
  readonly connection: string | undefined;
  // Private, because readers of the item get this object.
  readonly #item: ItemName;
  #place = -1;

  constructor({ expireTimeMs, connection }: ItemLifetime, item: ItemName) {
    this.expireTimeMs = expireTimeMs;
    this.connection = connection;
    this.#item = item;
  }

  static itemOf(lifetime: IndexedLifetime): ItemName {
    return lifetime.#item;
  }

  static placeOf(lifetime: IndexedLifetime): number {
    return lifetime.#place;
  }

  static setPlace(lifetime: IndexedLifetime, place: number): void {
    lifetime.#place = place;
  }
}

/** The items of a store that go by themselves, by the time of their end and by connection. */
export class LifetimeIndex {
  readonly #ends = new EndHeap();
  readonly #bound = new Map<string, Set<IndexedLifetime>>();

  /** Adds the lifetime of an item. @returns The lifetime to store, for `remove`. */
  add(group: GroupKey, itemId: string, lifetime: ItemLifetime): ItemLifetime {
    const indexed = new IndexedLifetime(lifetime, { group, itemId });
    const { expireTimeMs, connection } = indexed;
    if (expireTimeMs !== undefined) this.#ends.add(indexed, expireTimeMs);
    if (connection !== undefined) {
      let items = this.#bound.get(connection);
      if (items === undefined) this.#bound.set(connection, (items = new Set<IndexedLifetime>()));
      items.add(indexed);
    }
    return indexed;
  }

  /** Removes a lifetime that `add` returned. */
  remove(lifetime: ItemLifetime): void {
    if (!(lifetime instanceof IndexedLifetime)) return;
    const { expireTimeMs, connection } = lifetime;
    if (expireTimeMs !== undefined) this.#ends.remove(lifetime);
    if (connection === undefined) return;
    const items = this.#bound.get(connection);
    items?.delete(lifetime);
    if (items?.size === 0) this.#bound.delete(connection);
  }

  /** Items whose end is at or before a time, the earliest first. */
  expired(nowMs: number, limit: number): ExpiredItem[] {
    return this.#ends.first(nowMs, limit).map((lifetime) => ({
      ...IndexedLifetime.itemOf(lifetime),
      expireTimeMs: lifetime.expireTimeMs ?? Infinity,
    }));
  }

  /** Items that are bound to a connection. */
  boundTo(connection: string, limit: number): ItemName[] {
    const found: ItemName[] = [];
    for (const lifetime of this.#bound.get(connection) ?? []) {
      if (found.length >= limit) break;
      found.push(IndexedLifetime.itemOf(lifetime));
    }
    return found;
  }

  /** Connections that items are bound to, after `from`, sorted by UTF-8 bytes. */
  connections({
    from,
    limit,
  }: {
    readonly from?: string | undefined;
    readonly limit: number;
  }): ConnectionPage {
    const rest = Array.from(this.#bound.keys())
      .filter((connection) => from === undefined || compareUtf8(connection, from) > 0)
      .sort(compareUtf8);
    const connections = rest.slice(0, limit);
    return { connections, next: rest.length > limit ? connections.at(-1) : undefined };
  }
}

/**
 * A binary heap of lifetimes by the time of their end, from which any of them can be removed: each
 * knows its place. An addition costs O(1) on average, a removal O(log n), whatever the order of the
 * times, and no step is longer than that.
 */
class EndHeap {
  readonly #lifetimes: IndexedLifetime[] = [];
  /** Their ends, side by side, so that comparisons follow no references. */
  readonly #times: number[] = [];

  add(lifetime: IndexedLifetime, timeMs: number): void {
    this.#lifetimes.push(lifetime);
    this.#times.push(timeMs);
    this.#raise(this.#times.length - 1, lifetime, timeMs);
  }

  remove(lifetime: IndexedLifetime): void {
    const place = IndexedLifetime.placeOf(lifetime);
    const last = this.#lifetimes.pop();
    const timeMs = this.#times.pop();
    if (last === undefined || timeMs === undefined || last === lifetime) return;
    if (timeMs < (this.#times[(place - 1) >> 1] ?? -Infinity)) this.#raise(place, last, timeMs);
    else this.#lower(place, last, timeMs);
  }

  /** Those that end at or before a time, the earliest first, at most `limit`. */
  first(nowMs: number, limit: number): IndexedLifetime[] {
    const found: IndexedLifetime[] = [];
    const times: number[] = [];
    while (found.length < limit && (this.#times[0] ?? Infinity) <= nowMs) {
      const first = this.#lifetimes[0]!;
      times.push(this.#times[0]!);
      found.push(first);
      this.remove(first);
    }
    for (const [i, lifetime] of found.entries()) this.add(lifetime, times[i]!);
    return found;
  }

  #raise(from: number, lifetime: IndexedLifetime, timeMs: number): void {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (this.#times[above]! <= timeMs) break;
      this.#put(place, this.#lifetimes[above]!, this.#times[above]!);
      place = above;
    }
    this.#put(place, lifetime, timeMs);
  }

  #lower(from: number, lifetime: IndexedLifetime, timeMs: number): void {
    const times = this.#times;
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= times.length) break;
      if (below + 1 < times.length && times[below + 1]! < times[below]!) below++;
      if (timeMs <= times[below]!) break;
      this.#put(place, this.#lifetimes[below]!, times[below]!);
      place = below;
    }
    this.#put(place, lifetime, timeMs);
  }

  #put(place: number, lifetime: IndexedLifetime, timeMs: number): void {
    this.#lifetimes[place] = lifetime;
    this.#times[place] = timeMs;
    IndexedLifetime.setPlace(lifetime, place);
  }
}
