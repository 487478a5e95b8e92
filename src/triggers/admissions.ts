import type { StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import type { Caller } from "../rights/caller.ts";
import type { Leases, SubscriptionLease } from "../core/coordinator.ts";
import type { AdmitOptions, JoinGates, NotifyJoined } from "./join-gates.ts";
import type { Leaves } from "./leaves.ts";
import { type JoinedSubscription, leavePayload } from "./payloads.ts";
import type { ReadAdmissions } from "./read-admissions.ts";

/** A subscription that every gate allowed. */
export interface Admission {
  /** Why the subscription was ended; undefined while it was not. Known before it is open, too. */
  readonly ended: StreamError | undefined;
  /**
   * Reports the end of the subscription, whatever its cause: leave triggers run. Only the first
   * call counts.
   */
  leave(): void;
}

/** What holds the open subscriptions of a caller: a socket, or a call. */
export interface SubscriptionHolder {
  /** How it is connected. */
  readonly door: "rpc" | "socket" | "library";
  /** Address of the client, as its limits count it; empty: a program in this process. */
  readonly address: string;
  /** The caller, with its latest credentials. */
  readonly caller: Caller;
  /** Everything up to here was handed to the transport; undefined: nothing yet. */
  positionOf(admission: Admission): Position | undefined;
  /**
   * Ends the subscription of an admission, also one that is about to open. When it returns, nothing
   * more is handed to the transport for it (G11). The subscriber gets the error, and releases the
   * admission. It is found by its admission: its client may have given it another id since.
   */
  end(admission: Admission, error: StreamError): void;
}

/** A subscription that is open, or whose gates are being asked. */
export interface Admitted {
  readonly joined: JoinedSubscription;
  readonly subscriber: SubscriptionHolder;
  /** When it asked for admission, Unix milliseconds. */
  readonly sinceMs: number;
  /** Everything up to here was handed to its transport; undefined: nothing yet. */
  readonly position: Position | undefined;
  /** Ends it: when this returns, nothing more is handed to its transport (G11). */
  end(error: StreamError): void;
}

/** Admits subscriptions, and keeps track of the leaves to deliver when they end. */
export interface Admissions {
  /**
   * Asks the gates, unless `asksGates` is false. An admission must be released with `leave` exactly
   * once, even when the subscription fails afterwards.
   *
   * @throws StreamError JOIN_REFUSED; then there is no leave. STORE_UNAVAILABLE when the lease
   *   cannot be recorded.
   */
  admit(
    joined: JoinedSubscription,
    subscriber: SubscriptionHolder,
    options?: AdmitOptions,
  ): Promise<Admission>;
  /** The subscriptions that are open. */
  open(): Iterable<Admitted>;
  /** Those whose gates are being asked. */
  joining(): Iterable<Admitted>;
  /** Resolves when the gates have decided about those that are being asked now. */
  whenDecided(): Promise<void>;
  /** Records leases for the open subscriptions. To be called when a leave trigger is registered. */
  holdAll(): Promise<void>;
  /**
   * Resolves when no subscription is open or at the gates, and all leaves are queued. For the
   * drain.
   */
  whenQueued(): Promise<void>;
}

const NEVER = new Promise<never>(() => {});

/** An open subscription. There are many thousands, so each is one object. */
class OpenSubscription implements Admission, Admitted, SubscriptionLease {
  readonly #newId: () => string;
  #id: string | undefined;
  readonly joined: JoinedSubscription;
  readonly subscriber: SubscriptionHolder;
  readonly sinceMs = Date.now();
  /** Resolves when the join listeners have run: no leave is delivered before its join. */
  joinDelivered: Promise<void> = NEVER;
  isLeased = false;
  /** Whether the gates have decided. */
  isOpen = false;
  ended: StreamError | undefined;
  readonly #onLeave: (open: OpenSubscription) => void;

  constructor(
    newId: () => string,
    joined: JoinedSubscription,
    subscriber: SubscriptionHolder,
    onLeave: (open: OpenSubscription) => void,
  ) {
    this.#newId = newId;
    this.joined = joined;
    this.subscriber = subscriber;
    this.#onLeave = onLeave;
  }

  // Both are created on first use: most subscriptions need neither.
  get id(): string {
    return (this.#id ??= this.#newId());
  }

  get payload(): string {
    return leavePayload(this.joined);
  }

  get position(): Position | undefined {
    return this.subscriber.positionOf(this);
  }

  end(error: StreamError): void {
    this.ended ??= error;
    if (this.isOpen) this.subscriber.end(this, this.ended);
  }

  leave(): void {
    this.#onLeave(this);
  }
}

/** Connects gates, leases and leaves. Admitted subscriptions may cover reads of their callers. */
export function createAdmissions(
  gates: Pick<JoinGates, "admit">,
  reads: ReadAdmissions,
  leaves: Leaves,
  leases: Leases,
  newId: () => string,
): Admissions {
  const open = new Set<OpenSubscription>();
  const joining = new Map<OpenSubscription, Promise<unknown>>();
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
    reads.release(subscription.joined);
    void subscription.joinDelivered.then(() => {
      leaves.deliver(subscription, subscription.isLeased);
      gone();
    });
  };
  return {
    async admit(joined, subscriber, options) {
      present++;
      const subscription = new OpenSubscription(newId, joined, subscriber, leave);
      const decision = gates.admit(joined, options);
      joining.set(subscription, decision);
      let notifyJoined: NotifyJoined;
      try {
        notifyJoined = await decision;
      } catch (error) {
        gone();
        throw error;
      } finally {
        joining.delete(subscription);
      }
      open.add(subscription);
      subscription.isOpen = true;
      // Without leave triggers no lease has to survive this process.
      const isHeld = leaves.isWanted && subscription.ended === undefined;
      const held = isHeld ? hold(subscription) : undefined;
      // After the lease: else a process that is killed in between never delivers the leave.
      subscription.joinDelivered = held?.then(notifyJoined, notifyJoined) ?? notifyJoined();
      if (subscription.ended !== undefined) {
        leave(subscription);
        throw subscription.ended;
      }
      // What nobody was asked about proves nothing about the reads of others on this connection.
      if (options?.asksGates !== false && options?.coversReads !== false) reads.hold(joined);
      if (held === undefined) return subscription;
      try {
        await held;
      } catch (error) {
        leave(subscription);
        throw error;
      }
      return subscription;
    },
    open: () => open,
    joining: () => joining.keys(),
    async whenDecided() {
      await Promise.allSettled(joining.values());
    },
    async holdAll() {
      await Promise.all(Array.from(open, hold));
    },
    async whenQueued() {
      if (present > 0) await new Promise<void>((resolve) => waiters.push(resolve));
    },
  };
}
