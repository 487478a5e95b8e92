import { rateLimited } from "./refusals.ts";
import { type Rate, TokenBucket } from "./token-bucket.ts";

/** The rates of one connection or one address. Calls that share a limit share a scope. */
export class RateScope {
  readonly #requests: TokenBucket;
  readonly #subscriptions: TokenBucket | undefined;

  /**
   * @param requests The limit of calls and frames.
   * @param subscriptions The limit of new subscriptions among them. Default: none.
   */
  constructor(requests: Rate, nowMs: number, subscriptions?: Rate) {
    this.#requests = new TokenBucket(requests, nowMs);
    this.#subscriptions =
      subscriptions === undefined ? undefined : new TokenBucket(subscriptions, nowMs);
  }

  /** The bucket of calls and frames. */
  get requests(): TokenBucket {
    return this.#requests;
  }

  /** The bucket of new subscriptions; undefined when there is no limit of them. */
  get subscriptions(): TokenBucket | undefined {
    return this.#subscriptions;
  }
}

/** Throttles one caller: a call must be within the limits of each of the caller's scopes. */
export class Throttle {
  readonly #scopes: readonly RateScope[];

  /** @param scopes The scopes of the connection and of the address. */
  constructor(scopes: readonly RateScope[]) {
    this.#scopes = scopes;
  }

  /** A throttle that has one more scope. */
  within(scope: RateScope): Throttle {
    return new Throttle([scope, ...this.#scopes]);
  }

  /** Counts a frame. @returns Whether it is within the limits. */
  frame(): boolean {
    const nowMs = performance.now();
    if (this.#requestWait(nowMs) > 0) return false;
    this.#takeRequest(nowMs);
    return true;
  }

  /** Counts a call. @throws StreamError RATE_LIMITED with the time to wait */
  call(): void {
    const nowMs = performance.now();
    const waitMs = this.#requestWait(nowMs);
    if (waitMs > 0) throw rateLimited("Calls", waitMs);
    this.#takeRequest(nowMs);
  }

  /**
   * Counts a call that starts a subscription.
   *
   * @throws StreamError RATE_LIMITED with the time to wait
   */
  subscribe(): void {
    const nowMs = performance.now();
    const callWaitMs = this.#requestWait(nowMs);
    if (callWaitMs > 0) throw rateLimited("Calls", callWaitMs);
    let waitMs = 0;
    for (const { subscriptions } of this.#scopes)
      waitMs = Math.max(waitMs, subscriptions?.wait(nowMs) ?? 0);
    if (waitMs > 0) throw rateLimited("Subscriptions", waitMs);
    this.#takeRequest(nowMs);
    for (const { subscriptions } of this.#scopes) subscriptions?.take(nowMs);
  }

  // A refused request takes nothing from any bucket, so all are checked before one is taken from.
  #requestWait(nowMs: number): number {
    let longest = 0;
    for (const { requests } of this.#scopes) longest = Math.max(longest, requests.wait(nowMs));
    return longest;
  }

  #takeRequest(nowMs: number): void {
    for (const { requests } of this.#scopes) requests.take(nowMs);
  }
}
