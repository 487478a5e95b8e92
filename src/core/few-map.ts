/**
 * A map that allocates no table until it has two entries. Sockets keep their subscriptions in one:
 * there are many thousands of sockets, most with a single subscription. Iterates in insertion
 * order, as a Map does.
 */
export class FewMap<K extends string | object, V> {
  #key: K | undefined;
  #value: V | undefined;
  /** All entries, once there have been two at a time. */
  #all: Map<K, V> | undefined;

  /** Number of entries. */
  get size(): number {
    return this.#all?.size ?? (this.#key === undefined ? 0 : 1);
  }

  /** The value of a key; undefined when it has none. */
  get(key: K): V | undefined {
    if (this.#all !== undefined) return this.#all.get(key);
    return this.#key === key ? this.#value : undefined;
  }

  /** Whether there is an entry. */
  has(key: K): boolean {
    return this.#all === undefined ? this.#key === key : this.#all.has(key);
  }

  /** Adds an entry, or replaces its value. */
  set(key: K, value: V): void {
    if (this.#all !== undefined) this.#all.set(key, value);
    else if (this.#key === undefined || this.#key === key) {
      this.#key = key;
      this.#value = value;
    } else {
      this.#all = new Map([
        [this.#key, this.#value as V],
        [key, value],
      ]);
      this.#key = this.#value = undefined;
    }
  }

  /** Removes an entry. @returns Whether there was one. */
  delete(key: K): boolean {
    if (this.#all !== undefined) return this.#all.delete(key);
    if (this.#key !== key) return false;
    this.#key = this.#value = undefined;
    return true;
  }

  /** Removes all entries. */
  clear(): void {
    this.#key = this.#value = this.#all = undefined;
  }

  /** All keys. Entries added during the iteration may be left out. */
  keys(): Iterable<K, undefined> {
    return this.#all?.keys() ?? (this.#key === undefined ? [] : [this.#key]);
  }

  /** All values. Entries added during the iteration may be left out. */
  values(): Iterable<V, undefined> {
    return this.#all?.values() ?? (this.#key === undefined ? [] : [this.#value as V]);
  }

  /** All entries. Entries added during the iteration may be left out. */
  [Symbol.iterator](): Iterator<[K, V], undefined> {
    if (this.#all !== undefined) return this.#all[Symbol.iterator]();
    const entries: [K, V][] = this.#key === undefined ? [] : [[this.#key, this.#value as V]];
    return entries[Symbol.iterator]();
  }
}
