import { rateLimited } from "./refusals.ts";
import { type Rate, TokenBucket } from "./token-bucket.ts";

/** What one connection or one address may still ask for: whatever calls share a limit is a scope. */
export class RateScope {
  readonly #requests: TokenBucket;
  readonly #subscriptions: TokenBucket | undefined;

  /**
   * @param requests How many calls and frames it may send.
   * @param subscriptions How many of them may be new subscriptions. Default: all.
   */
  constructor(requests: Rate, nowMs: number, subscriptions?: Rate) {
    this.#requests = new TokenBucket(requests, nowMs);
    this.#subscriptions =
      subscriptions === undefined ? undefined : new TokenBucket(subscriptions, nowMs);
  }

  /** Counts a call or a frame. @returns 0, or the time to wait, in milliseconds. */
  request(nowMs: number): number {
    return this.#requests.take(nowMs);
  }

  /** Counts a new subscription. @returns 0, or the time to wait, in milliseconds. */
  subscription(nowMs: number): number {
    return this.#subscriptions?.take(nowMs) ?? 0;
  }
}

/** Slows one caller down: a call has to pass every scope that the caller belongs to. */
export class Throttle {
  readonly #scopes: readonly RateScope[];

  /** @param scopes Of the connection, of the address; later also of the user. */
  constructor(scopes: readonly RateScope[]) {
    this.#scopes = scopes;
  }

  /** Counts a frame. @returns whether it is within the limits. */
  frame(): boolean {
    return this.#longest((scope, nowMs) => scope.request(nowMs)) === 0;
  }

  /** Counts a call. @throws StreamError RATE_LIMITED with the time to wait */
  call(): void {
    const waitMs = this.#longest((scope, nowMs) => scope.request(nowMs));
    if (waitMs > 0) throw rateLimited("Calls", waitMs);
  }

  /** Counts a call that begins a subscription. @throws StreamError RATE_LIMITED with the time to wait */
  subscribe(): void {
    this.call();
    const waitMs = this.#longest((scope, nowMs) => scope.subscription(nowMs));
    if (waitMs > 0) throw rateLimited("Subscriptions", waitMs);
  }

  #longest(take: (scope: RateScope, nowMs: number) => number): number {
    const nowMs = performance.now();
    let longest = 0;
    for (const scope of this.#scopes) longest = Math.max(longest, take(scope, nowMs));
    return longest;
  }
}
