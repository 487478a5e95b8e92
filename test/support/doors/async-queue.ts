/** An async iterable that other code pushes to. */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #elements: T[] = [];
  #ended = false;
  #wake = () => {};

  push(element: T): void {
    this.#elements.push(element);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      yield* this.#elements.splice(0);
      if (this.#elements.length > 0) continue;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
