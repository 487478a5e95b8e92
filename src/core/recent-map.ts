/**
 * A map that keeps the most recently used entries, up to a weight, and forgets the rest.
 *
 * Entries are of two generations. A used entry belongs to the young one; when the young generation
 * has half of the weight, it becomes the old one, and the former old one is forgotten. So each
 * operation costs the same whatever the size. (A Map in the order of use has to be searched for its
 * first entry, past all the slots of deleted entries.) The idea is that of Dominic Tarr's hashlru.
 */
export class RecentMap<K, V extends object> {
  readonly #maxYoung: number;
  readonly #weightOf: (value: V) => number;
  #young = new Map<K, V>();
  #old = new Map<K, V>();
  #weight = 0;

  /**
   * @param maxWeight The most that it keeps, unless one entry is heavier than half of it. It keeps
   *   at least half of it.
   * @param weightOf Weight of an entry. Default: 1.
   */
  constructor(maxWeight: number, weightOf: (value: V) => number = () => 1) {
    this.#maxYoung = maxWeight / 2;
    this.#weightOf = weightOf;
  }

  /** The value of a key; undefined when there is none, or it was forgotten. */
  get(key: K): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.#add(key, old);
    return old;
  }

  /** Sets the value of a key. */
  set(key: K, value: V): void {
    const before = this.#young.get(key);
    if (before !== undefined) this.#weight -= this.#weightOf(before);
    this.#add(key, value);
  }

  /** Removes a key. */
  delete(key: K): void {
    this.#old.delete(key);
    const young = this.#young.get(key);
    if (young === undefined) return;
    this.#young.delete(key);
    this.#weight -= this.#weightOf(young);
  }

  #add(key: K, value: V): void {
    const weight = this.#weightOf(value);
    if (this.#weight + weight > this.#maxYoung) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#weight = 0;
    }
    this.#old.delete(key);
    this.#young.set(key, value);
    this.#weight += weight;
  }
}
