import type { StreamError } from "../core/errors.ts";
import type { Frame } from "../core/frame.ts";

/** The part of a subscription that the iterator uses. */
interface FrameSource {
  readonly ended: boolean;
  readonly error: StreamError | undefined;
  read(): Frame | undefined;
  onReadable(reader: Reader): void;
  close(): void;
}

/**
 * A subscription as an async iterator: for await, one frame at a time.
 *
 * It is done when the subscription is closed, and rejects once when the service ended it. Not a
 * generator, because return() has no effect on a generator while it waits.
 */
export class FrameIterator implements AsyncIterableIterator<Frame, undefined> {
  readonly #subscription: FrameSource;
  #isDone = false;

  constructor(subscription: FrameSource) {
    this.#subscription = subscription;
  }

  next(): Promise<IteratorResult<Frame, undefined>> {
    return new Promise((resolve, reject) => this.#pull(resolve, reject));
  }

  return(): Promise<IteratorResult<Frame, undefined>> {
    this.#isDone = true;
    this.#subscription.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #pull(
    resolve: (result: IteratorResult<Frame, undefined>) => void,
    reject: (error: unknown) => void,
  ): void {
    const frame = this.#subscription.read();
    if (frame !== undefined) return resolve({ done: false, value: frame });
    if (!this.#subscription.ended)
      return this.#subscription.onReadable({ wake: () => this.#pull(resolve, reject) });
    const { error } = this.#subscription;
    if (error === undefined || this.#isDone) return resolve({ done: true, value: undefined });
    this.#isDone = true;
    reject(error);
  }
}

/**
 * Reads frames and waits for more. An object instead of a callback: there is one for each of many
 * thousand subscriptions, and waking it costs as much as the memory that it touches.
 */
export interface Reader {
  /** Called when there may be frames to read, or room again for those that were read. */
  wake(): void;
}
