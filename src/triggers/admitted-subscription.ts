import type { SubscriptionLease } from "../core/coordinator.ts";
import type { StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import type { SubscriberPresence } from "../core/subscriber-presence.ts";
import { NOBODY } from "../rights/caller.ts";
import type {
  Admission,
  Admitted,
  Provisional,
  SubscriptionHolder,
  SuspendedSubscription,
} from "./admission.ts";
import { type JoinedSubscription, leavePayload } from "./payloads.ts";

/** Keeps the subscriptions. */
export interface SubscriptionKeeper {
  newId(): string;
  onLeave(subscription: AdmittedSubscription): void;
  onSuspend(subscription: AdmittedSubscription): void;
  onDrop(subscription: AdmittedSubscription): void;
}

const NEVER = new Promise<never>(() => {});

/** A subscription, open or suspended. There are many thousands, so each is one object. */
export class AdmittedSubscription
  implements Admission, Admitted, SubscriptionLease, SuspendedSubscription
{
  readonly #keeper: SubscriptionKeeper;
  #id: string | undefined;
  readonly joined: JoinedSubscription;
  readonly subscriber: SubscriptionHolder;
  sinceMs = Date.now();
  /** Resolves when the join listeners have run: no leave is delivered before its join. */
  joinDelivered: Promise<void> = NEVER;
  /**
   * Unsure: it could not be recorded, as far as is known. Elsewhere: another process holds its
   * session, so that this one delivers neither its join nor its leave.
   */
  lease: "none" | "unsure" | "recorded" | "elsewhere" = "none";
  /** The session that its lease is of. */
  session: string | undefined;
  provisional: Provisional | undefined;
  state: "joining" | "open" | "suspended" | "over" = "joining";
  ended: StreamError | undefined;
  presence: SubscriberPresence | undefined;

  constructor(
    keeper: SubscriptionKeeper,
    joined: JoinedSubscription,
    subscriber: SubscriptionHolder,
  ) {
    this.#keeper = keeper;
    this.joined = joined;
    this.subscriber = subscriber;
  }

  // Both are created on first use: most subscriptions need neither.
  get id(): string {
    return (this.#id ??= this.#keeper.newId());
  }

  get payload(): string {
    return leavePayload(this.joined);
  }

  get isOver(): boolean {
    return this.state === "over";
  }

  get isOfSession(): boolean {
    return this.session !== undefined || this.subscriber.session !== undefined;
  }

  get position(): Position | undefined {
    return this.state === "open" ? this.subscriber.positionOf(this) : undefined;
  }

  /** Continues another one: it has its lease, and its leave comes after that one's join. */
  continue(before: AdmittedSubscription): void {
    this.#id = before.#id;
    this.lease = before.lease;
    this.session = before.session;
    this.sinceMs = before.sinceMs;
    this.joinDelivered = before.joinDelivered;
    this.presence = before.presence;
    before.presence = undefined;
    before.state = "over";
  }

  /** Takes over a lease of another process, whose join listeners have run. */
  adopt({ id, session }: SubscriptionLease): void {
    this.#id = id;
    this.lease = "recorded";
    this.session = session;
    this.joinDelivered = Promise.resolve();
    this.state = "suspended";
  }

  show(presence: SubscriberPresence | undefined): void {
    const before = this.presence;
    this.presence = presence;
    before?.leave();
    if (this.state === "over") presence?.leave();
  }

  end(error: StreamError): void {
    this.ended ??= error;
    if (this.state === "open") this.subscriber.end(this, this.ended);
    else if (this.state === "suspended") this.leave();
  }

  leave(): void {
    this.#keeper.onLeave(this);
  }

  suspend(): this {
    this.#keeper.onSuspend(this);
    return this;
  }

  drop(): void {
    this.#keeper.onDrop(this);
  }
}

/** The holder of a subscription whose process is gone: nothing is connected. */
export function lostHolder({ user, context, connection }: JoinedSubscription): SubscriptionHolder {
  return {
    door: "socket",
    address: "",
    caller: { ...NOBODY, user, context, connection },
    positionOf: () => undefined,
    end: () => {},
  };
}
