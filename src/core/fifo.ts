/** First in, first out. Each step costs the same on average, however many wait. */
export class Fifo<T> {
  #elements: T[] = [];
  #head = 0;

  /** How many wait. */
  get length(): number {
    return this.#elements.length - this.#head;
  }

  /** Adds one at the end. */
  push(element: T): void {
    this.#elements.push(element);
  }

  /** Takes the first; undefined when there is none. */
  shift(): T | undefined {
    if (this.#head === this.#elements.length) return undefined;
    const element = this.#elements[this.#head];
    this.#elements[this.#head] = undefined as T;
    this.#head++;
    // Half of it is used up: the rest moves to the front.
    if (this.#head >= 32 && this.#head * 2 >= this.#elements.length) {
      this.#elements = this.#elements.slice(this.#head);
      this.#head = 0;
    }
    return element;
  }

  /** Forgets all. */
  clear(): void {
    this.#elements = [];
    this.#head = 0;
  }
}
