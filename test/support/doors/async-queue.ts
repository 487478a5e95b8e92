/** An async iterable that is filled from outside. For one consumer. */
export class AsyncQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #waiting: ((result: IteratorResult<T, undefined>) => void)[] = [];
  readonly #filled: T[] = [];
  #ended = false;

  push(element: T): void {
    const taker = this.#waiting.shift();
    if (taker === undefined) this.#filled.push(element);
    else taker({ done: false, value: element });
  }

  end(): void {
    this.#ended = true;
    for (const taker of this.#waiting.splice(0)) taker({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const [element] = this.#filled.splice(0, 1);
    if (element !== undefined) return Promise.resolve({ done: false, value: element });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
