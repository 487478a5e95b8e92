/**
 * A map that mostly has one entry or none, which then take no table: what a socket, of which there are
 * many thousands, keeps of its few subscriptions. Iterates in the order added, as a Map does.
 */
export class FewMap<K extends string | object, V> {
  #key: K | undefined;
  #value: V | undefined;
  /** All entries, once there were two at a time. */
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

  /** Adds an entry, or gives it another value. */
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

  /** Removes an entry. @returns whether there was one. */
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

  /** All keys. What is added while they are looked at may be left out. */
  keys(): Iterable<K, undefined> {
    return this.#all?.keys() ?? (this.#key === undefined ? [] : [this.#key]);
  }

  /** All values. What is added while they are looked at may be left out. */
  values(): Iterable<V, undefined> {
    return this.#all?.values() ?? (this.#key === undefined ? [] : [this.#value as V]);
  }

  /** All entries. What is added while they are looked at may be left out. */
  [Symbol.iterator](): Iterator<[K, V], undefined> {
    if (this.#all !== undefined) return this.#all[Symbol.iterator]();
    const entries: [K, V][] = this.#key === undefined ? [] : [[this.#key, this.#value as V]];
    return entries[Symbol.iterator]();
  }
}
