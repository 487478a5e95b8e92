import { Fifo } from "../core/fifo.ts";

/** What goes out on a stream: filled from outside, read by the transport as it takes it. */
export class RequestQueue<T> implements AsyncIterable<T> {
  readonly #waiting = new Fifo<T>();
  #isEnded = false;
  #wake = () => {};

  /** Adds one. After end() it goes nowhere. */
  push(request: T): void {
    if (this.#isEnded) return;
    this.#waiting.push(request);
    this.#wake();
  }

  /** No more comes: the stream half-closes when all is read. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** For one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else if (this.#isEnded) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
