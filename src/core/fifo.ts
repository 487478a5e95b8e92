/** A first-in, first-out queue. Each operation is amortized O(1), whatever its length. */
export class Fifo<T> {
  #elements: T[] = [];
  #head = 0;

  /** Number of elements. */
  get length(): number {
    return this.#elements.length - this.#head;
  }

  /** Adds an element at the end. */
  push(element: T): void {
    this.#elements.push(element);
  }

  /** The first element; undefined when there is none. */
  first(): T | undefined {
    return this.#head === this.#elements.length ? undefined : this.#elements[this.#head];
  }

  /** Removes and returns the first element; undefined when there is none. */
  shift(): T | undefined {
    if (this.#head === this.#elements.length) return undefined;
    const element = this.#elements[this.#head];
    this.#elements[this.#head] = undefined as T;
    this.#head++;
    // Half of the array is consumed: move the rest to the front.
    if (this.#head >= 32 && this.#head * 2 >= this.#elements.length) {
      this.#elements = this.#elements.slice(this.#head);
      this.#head = 0;
    }
    return element;
  }

  /** The elements, from the first to the last. It must not change meanwhile. */
  *[Symbol.iterator](): Generator<T, void> {
    for (let i = this.#head; i < this.#elements.length; i++) yield this.#elements[i] as T;
  }

  /** Removes all elements. */
  clear(): void {
    this.#elements = [];
    this.#head = 0;
  }
}
