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

  /** Counts a call or a frame. @returns 0, or the time to wait, in milliseconds. */
  request(nowMs: number): number {
    return this.#requests.take(nowMs);
  }

  /** Counts a new subscription. @returns 0, or the time to wait, in milliseconds. */
  subscription(nowMs: number): number {
    return this.#subscriptions?.take(nowMs) ?? 0;
  }
}

/** Throttles one caller: a call must be within the limits of each of the caller's scopes. */
export class Throttle {
  readonly #scopes: readonly RateScope[];

  /** @param scopes The scopes of the connection and of the address. */
  constructor(scopes: readonly RateScope[]) {
    this.#scopes = scopes;
  }

  /** Counts a frame. @returns Whether it is within the limits. */
  frame(): boolean {
    return this.#longest((scope, nowMs) => scope.request(nowMs)) === 0;
  }

  /** Counts a call. @throws StreamError RATE_LIMITED with the time to wait */
  call(): void {
    const waitMs = this.#longest((scope, nowMs) => scope.request(nowMs));
    if (waitMs > 0) throw rateLimited("Calls", waitMs);
  }

  /**
   * Counts a call that starts a subscription. @throws StreamError RATE_LIMITED with the time to
   * wait
   */
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
