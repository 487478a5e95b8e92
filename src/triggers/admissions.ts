import type { Leases, SubscriptionLease } from "../core/coordinator.ts";
import type { Gates } from "./gates.ts";
import type { Leaves } from "./leaves.ts";
import { type JoinedSubscription, leavePayload } from "./payloads.ts";

/** A subscription that every gate allowed. */
export interface Admission {
  /**
   * Reports the end of the subscription, whatever its cause: leave triggers run. Only the first
   * call counts.
   */
  leave(): void;
}

/** Admits subscriptions, and keeps track of the leaves to deliver when they end. */
export interface Admissions {
  /**
   * Asks the gates. An admission must be released with `leave` exactly once, even when the
   * subscription fails afterwards.
   *
   * @throws StreamError JOIN_REFUSED; then there is no leave. STORE_UNAVAILABLE when the lease
   *   cannot be recorded.
   */
  admit(joined: JoinedSubscription): Promise<Admission>;
  /** Records leases for the open subscriptions. To be called when a leave trigger is registered. */
  holdAll(): Promise<void>;
  /**
   * Resolves when no subscription is open or at the gates, and all leaves are queued. For the
   * drain.
   */
  whenQueued(): Promise<void>;
}

/** An open subscription. There are many thousands, so each is one object. */
class OpenSubscription implements Admission, SubscriptionLease {
  readonly #newId: () => string;
  #id: string | undefined;
  readonly #joined: JoinedSubscription;
  /** Resolves when the join listeners have run: no leave is delivered before its join. */
  readonly joinDelivered: Promise<void>;
  isLeased = false;
  readonly #onLeave: (open: OpenSubscription) => void;

  constructor(
    newId: () => string,
    joined: JoinedSubscription,
    joinDelivered: Promise<void>,
    onLeave: (open: OpenSubscription) => void,
  ) {
    this.#newId = newId;
    this.#joined = joined;
    this.joinDelivered = joinDelivered;
    this.#onLeave = onLeave;
  }

  // Both are created on first use: most subscriptions need neither.
  get id(): string {
    return (this.#id ??= this.#newId());
  }

  get payload(): string {
    return leavePayload(this.#joined);
  }

  leave(): void {
    this.#onLeave(this);
  }
}

/** Connects gates, leases and leaves. */
export function createAdmissions(
  gates: Gates,
  leaves: Leaves,
  leases: Leases,
  newId: () => string,
): Admissions {
  const open = new Set<OpenSubscription>();
  /** Number of subscriptions at the gates, open, or with a leave that is not queued yet. */
  let present = 0;
  const waiters: (() => void)[] = [];
  const gone = () => {
    if (--present === 0) for (const resolve of waiters.splice(0)) resolve();
  };
  const hold = async (subscription: OpenSubscription) => {
    if (subscription.isLeased) return;
    subscription.isLeased = true;
    await leases.hold(subscription);
  };
  const leave = (subscription: OpenSubscription) => {
    if (!open.delete(subscription)) return;
    void subscription.joinDelivered.then(() => {
      leaves.deliver(subscription, subscription.isLeased);
      gone();
    });
  };
  return {
    async admit(joined) {
      present++;
      const { joinDelivered } = await gates.admit(joined).catch((error: unknown) => {
        gone();
        throw error;
      });
      const subscription = new OpenSubscription(newId, joined, joinDelivered, leave);
      open.add(subscription);
      // Without leave triggers no lease has to survive this process.
      if (leaves.isWanted) {
        try {
          await hold(subscription);
        } catch (error) {
          leave(subscription);
          throw error;
        }
      }
      return subscription;
    },
    async holdAll() {
      await Promise.all(Array.from(open, hold));
    },
    async whenQueued() {
      if (present > 0) await new Promise<void>((resolve) => waiters.push(resolve));
    },
  };
}
