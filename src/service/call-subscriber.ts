import type { StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import type { Subscription } from "../live/subscription.ts";
import type { Caller } from "../rights/caller.ts";
import type { Admission, SubscriptionHolder } from "./handlers.ts";

/** The subscriber of a single subscription: an RPC, or a loop of this program. */
export class CallSubscriber implements SubscriptionHolder {
  readonly door: "rpc" | "library";
  readonly address: string;
  readonly caller: Caller;
  #subscription: Subscription | undefined;
  #ended: StreamError | undefined;

  /** @param address Undefined: a program in this process. */
  constructor(address: string | undefined, caller: Caller) {
    this.door = address === undefined ? "library" : "rpc";
    this.address = address ?? "";
    this.caller = caller;
  }

  /** Why the subscription was ended; undefined while it was not. */
  get ended(): StreamError | undefined {
    return this.#ended;
  }

  /** Attaches the subscription, once it is open. */
  attach(subscription: Subscription): void {
    this.#subscription = subscription;
    if (this.#ended !== undefined) subscription.fail(this.#ended);
  }

  /** @see SubscriptionHolder */
  positionOf(): Position | undefined {
    return this.#subscription?.cursor;
  }

  /** @see SubscriptionHolder */
  end(_admission: Admission, error: StreamError): void {
    this.#ended ??= error;
    this.#subscription?.fail(error);
  }
}
