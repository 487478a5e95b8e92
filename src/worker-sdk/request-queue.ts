import { Fifo } from "../core/fifo.ts";

/** The outgoing messages of a stream, which the transport pulls. */
export class RequestQueue<T> implements AsyncIterable<T> {
  readonly #waiting = new Fifo<T>();
  #isEnded = false;
  #wake = () => {};

  /** Adds a message. Ignored after end(). */
  push(request: T): void {
    if (this.#isEnded) return;
    this.#waiting.push(request);
    this.#wake();
  }

  /** Half-closes the stream once all messages are sent. */
  end(): void {
    this.#isEnded = true;
    this.#wake();
  }

  /** Supports one reader only. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else if (this.#isEnded) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
