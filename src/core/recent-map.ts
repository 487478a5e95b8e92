/**
 * A map that keeps what was set or asked for last, up to a weight, and forgets the rest.
 *
 * Entries are of two generations. What is used belongs to the young one; when that has half of the weight,
 * it becomes the old one, and what was old until then is forgotten. So each step costs the same however
 * much there is. (A Map in the order of use has to be searched for its first entry, past all the places
 * that entries have left.) The idea is that of Dominic Tarr's hashlru.
 */
export class RecentMap<K, V extends object> {
  readonly #maxYoung: number;
  readonly #weightOf: (value: V) => number;
  #young = new Map<K, V>();
  #old = new Map<K, V>();
  #weight = 0;

  /**
   * @param maxWeight The most that it keeps, unless one entry is heavier than half of it. Half of it, at
   *   least, is kept.
   * @param weightOf What an entry weighs. Default: 1.
   */
  constructor(maxWeight: number, weightOf: (value: V) => number = () => 1) {
    this.#maxYoung = maxWeight / 2;
    this.#weightOf = weightOf;
  }

  /** The value of a key; undefined when it is not known, or forgotten. */
  get(key: K): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.#add(key, old);
    return old;
  }

  /** Notes the value of a key. */
  set(key: K, value: V): void {
    const before = this.#young.get(key);
    if (before !== undefined) this.#weight -= this.#weightOf(before);
    this.#add(key, value);
  }

  /** Forgets a key. */
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
