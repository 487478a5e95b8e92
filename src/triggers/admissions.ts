import type { Leases, SubscriptionLease } from "../core/coordinator.ts";
import type { Gates } from "./gates.ts";
import type { Leaves } from "./leaves.ts";
import { type Joined, leavePayload } from "./payloads.ts";

/** A subscription that every gate allowed. */
export interface Admission {
  /** It has ended, however it ended: those who want to are told. Only the first call counts. */
  leave(): void;
}

/** Lets subscriptions in, and remembers who has to be told when they end. */
export interface Admissions {
  /**
   * Asks the gates. Whoever is admitted has to `leave` once, also when nothing came of the subscription.
   *
   * @throws StreamError JOIN_REFUSED; then there is no leave. STORE_UNAVAILABLE when it cannot be noted.
   */
  admit(joined: Joined): Promise<Admission>;
  /** To be called when somebody first wants to be told of leaves: notes those who are there already. */
  holdAll(): Promise<void>;
  /** To be called when all are ending: resolves when nobody is at the gates or in, and all leaves were handed on to be told. */
  whenHandedOn(): Promise<void>;
}

/** What is known of an open subscription. There are many thousands, so it is one object. */
class Open implements Admission, SubscriptionLease {
  readonly #newId: () => string;
  #id: string | undefined;
  readonly #joined: Joined;
  /** When the listeners to joins were told: nobody hears of a leave before its join. */
  readonly told: Promise<void>;
  isLeased = false;
  readonly #onLeave: (open: Open) => void;

  constructor(
    newId: () => string,
    joined: Joined,
    told: Promise<void>,
    onLeave: (open: Open) => void,
  ) {
    this.#newId = newId;
    this.#joined = joined;
    this.told = told;
    this.#onLeave = onLeave;
  }

  // Both are made when they are asked for: mostly nobody asks.
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

/** Puts gates, leases and leaves together. */
export function createAdmissions(
  gates: Gates,
  leaves: Leaves,
  leases: Leases,
  newId: () => string,
): Admissions {
  const open = new Set<Open>();
  /** Those at the gates, those who are in, and those whose leave was not handed on yet. */
  let present = 0;
  const waiters: (() => void)[] = [];
  const gone = () => {
    if (--present === 0) for (const resolve of waiters.splice(0)) resolve();
  };
  const hold = async (subscription: Open) => {
    if (subscription.isLeased) return;
    subscription.isLeased = true;
    await leases.hold(subscription);
  };
  const leave = (subscription: Open) => {
    if (!open.delete(subscription)) return;
    void subscription.told.then(() => {
      leaves.tell(subscription, subscription.isLeased);
      gone();
    });
  };
  return {
    async admit(joined) {
      present++;
      const { told } = await gates.admit(joined).catch((error: unknown) => {
        gone();
        throw error;
      });
      const subscription = new Open(newId, joined, told, leave);
      open.add(subscription);
      // Where nobody wants to be told, nothing has to survive.
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
    async whenHandedOn() {
      if (present > 0) await new Promise<void>((resolve) => waiters.push(resolve));
    },
  };
}
