import type { Frame } from "../core/frame.ts";
import { FrameIterator, type Reader } from "../live/frame-iterator.ts";
import type { Subscription } from "../live/subscription.ts";
import type { Moments } from "../timers/moments.ts";
import { expired } from "./calls.ts";
import type { OpenSubscription } from "./handlers.ts";

/**
 * A subscription of a caller whose credentials expire: it ends with AUTH_EXPIRED. From that moment
 * on no frame can be read, also while the call at the deadline is late.
 */
export class ExpiringSubscription implements OpenSubscription {
  readonly #subscription: Subscription;
  readonly #expiresAtMs: number;

  constructor(subscription: Subscription, expiresAtMs: number, deadlines: Moments) {
    this.#subscription = subscription;
    this.#expiresAtMs = expiresAtMs;
    const deadline = deadlines.at(expiresAtMs, () => subscription.fail(expired()));
    subscription.onEnd(() => deadline.cancel());
  }

  get ended(): boolean {
    return this.#subscription.ended;
  }

  get error(): OpenSubscription["error"] {
    return this.#subscription.error;
  }

  read(): Frame | undefined {
    if (this.#expiresAtMs <= Date.now()) this.#subscription.fail(expired());
    return this.#subscription.read();
  }

  onReadable(reader: Reader): void {
    this.#subscription.onReadable(reader);
  }

  onEnd(callback: () => void): void {
    this.#subscription.onEnd(callback);
  }

  close(): void {
    this.#subscription.close();
  }

  fail(error: NonNullable<OpenSubscription["error"]>): void {
    this.#subscription.fail(error);
  }

  [Symbol.asyncIterator](): FrameIterator {
    return new FrameIterator(this);
  }
}
