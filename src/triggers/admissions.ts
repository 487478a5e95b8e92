import type { StreamError } from "../core/errors.ts";
import { HeldElsewhere } from "../core/held-elsewhere.ts";
import type { Leases, SubscriptionLease } from "../core/coordinator.ts";
import type {
  Admission,
  Admitted,
  SubscriptionHolder,
  SuspendedSubscription,
} from "./admission.ts";
import type { AdmitOptions, JoinGates, NotifyJoined } from "./join-gates.ts";
import type { Leaves } from "./leaves.ts";
import {
  AdmittedSubscription,
  type SubscriptionKeeper,
  lostHolder,
} from "./admitted-subscription.ts";
import { type JoinedSubscription, readLeavePayload } from "./payloads.ts";
import { RecentEnds } from "./recent-ends.ts";
import type { ReadAdmissions } from "./read-admissions.ts";

/** Admits subscriptions, and keeps track of the leaves to deliver when they end. */
export interface Admissions {
  /**
   * Asks the gates, unless `asksGates` is false. An admission must be released with `leave` exactly
   * once, even when the subscription fails afterwards.
   *
   * @throws StreamError JOIN_REFUSED; then there is no leave. STORE_UNAVAILABLE when the lease
   *   cannot be recorded, or when its session goes on elsewhere.
   */
  admit(
    joined: JoinedSubscription,
    subscriber: SubscriptionHolder,
    options?: AdmitOptions,
  ): Promise<Admission>;
  /** The subscriptions that are open. */
  open(): Iterable<Admitted>;
  /** Those that are suspended. To end one is to report its end. */
  suspended(): Iterable<Admitted>;
  /** Ends also the matching subscriptions that this process adopts within a minute. @see RecentEnds */
  endAdopted(matches: (each: Admitted) => boolean, error: StreamError): void;
  /** Adopts a suspended subscription of another process, with its lease. */
  adopt(lease: SubscriptionLease): SuspendedSubscription;
  /** Those whose gates are being asked. */
  joining(): Iterable<Admitted>;
  /** Resolves when the gates have decided about those that are being asked now. */
  whenDecided(): Promise<void>;
  /**
   * Records leases for the open subscriptions. To be called when a leave trigger is registered.
   *
   * @throws StreamError STORE_UNAVAILABLE when not all can be recorded: try again.
   */
  holdAll(): Promise<void>;
  /**
   * Resolves when no subscription is open or at the gates, and all leaves are queued. For the
   * drain.
   */
  whenQueued(): Promise<void>;
}

/** Connects gates, leases and leaves. Admitted subscriptions may cover reads of their callers. */
export function createAdmissions(
  gates: Pick<JoinGates, "admit" | "hasListeners">,
  reads: ReadAdmissions,
  leaves: Leaves,
  leases: Leases,
  newId: () => string,
): Admissions {
  const open = new Set<AdmittedSubscription>();
  const suspended = new Set<AdmittedSubscription>();
  const joining = new Map<AdmittedSubscription, Promise<unknown>>();
  /**
   * Number of subscriptions at the gates, open, suspended, or with a leave that is not queued yet.
   */
  let present = 0;
  const waiters: (() => void)[] = [];
  const recentEnds = new RecentEnds<Admitted>();
  const gone = () => {
    if (--present === 0) for (const resolve of waiters.splice(0)) resolve();
  };
  const hold = async (subscription: AdmittedSubscription) => {
    if (subscription.lease === "recorded") return;
    // Before it is: one that ends meanwhile has to be released.
    subscription.lease = "recorded";
    subscription.session = subscription.subscriber.session?.id;
    try {
      await leases.hold(subscription);
    } catch (error) {
      subscription.lease = error instanceof HeldElsewhere ? "elsewhere" : "unsure";
      subscription.session = undefined;
      throw error;
    }
  };
  /** Takes it from those that are open or suspended. @returns Whether it was one. */
  const remove = (subscription: AdmittedSubscription): boolean => {
    if (suspended.delete(subscription)) return true;
    if (!open.delete(subscription)) return false;
    reads.release(subscription.joined);
    return true;
  };
  const deliver = (subscription: AdmittedSubscription) => {
    leaves.deliver(subscription, subscription.lease !== "none");
    gone();
  };
  const leave = (subscription: AdmittedSubscription) => {
    if (!remove(subscription)) return;
    subscription.state = "over";
    subscription.show(undefined);
    subscription.provisional?.announce();
    void subscription.joinDelivered.then(() => {
      if (subscription.lease === "elsewhere") return gone();
      if (subscription.session === undefined) return deliver(subscription);
      leases.detach(subscription.id).then(
        (isOurs) => (isOurs ? deliver(subscription) : gone()),
        // It may be delivered twice, rather than never.
        () => deliver(subscription),
      );
    });
  };
  /** Ends one that has no leave here. */
  const forget = (subscription: AdmittedSubscription) => {
    if (!remove(subscription)) return;
    subscription.state = "over";
    gone();
  };
  /** Whether anybody is notified of joins or leaves. */
  const isWatched = () => leaves.isWanted || gates.hasListeners();
  /** Delivers the join of a subscription when it is announced. */
  const defer = (subscription: AdmittedSubscription, deliverJoin: () => Promise<void>) => {
    subscription.joinDelivered = new Promise((resolve) => {
      subscription.provisional = {
        announce() {
          subscription.provisional = undefined;
          resolve(deliverJoin());
        },
        withdraw() {
          subscription.provisional = undefined;
          forget(subscription);
          // A lease that remains leaves later, rather than never.
          if (subscription.lease !== "none") leases.release(subscription.id).catch(() => {});
        },
      };
    });
  };
  const keeper: SubscriptionKeeper = {
    newId,
    onLeave: leave,
    onSuspend(subscription) {
      if (!remove(subscription)) return;
      subscription.state = "suspended";
      suspended.add(subscription);
    },
    onDrop(subscription) {
      // Unless its lease is of the session, no other process knows of it.
      if (subscription.session === undefined) return leave(subscription);
      forget(subscription);
    },
  };
  return {
    async admit(joined, subscriber, options) {
      present++;
      const subscription = new AdmittedSubscription(keeper, joined, subscriber);
      const { session } = subscriber;
      const join = session?.begin(joined);
      const decision = gates.admit(joined, options);
      joining.set(subscription, decision);
      let notifyJoined: NotifyJoined;
      try {
        notifyJoined = await decision;
      } catch (error) {
        gone();
        join?.fail();
        throw error;
      } finally {
        joining.delete(subscription);
      }
      const continued = join?.allow();
      if (continued === "superseded") {
        gone();
        throw new HeldElsewhere();
      }
      const before = continued?.isOver === false ? (continued as AdmittedSubscription) : undefined;
      // What it would have continued was ended with it, and has left.
      if (continued?.isOver === true && subscription.ended !== undefined) {
        gone();
        throw subscription.ended;
      }
      if (before !== undefined) {
        suspended.delete(before);
        subscription.continue(before);
        gone();
      }
      open.add(subscription);
      subscription.state = "open";
      // Without leave triggers no lease has to survive this process, except that it says which
      // joins of a session are none of a new subscription.
      const isWanted = leaves.isWanted || (session !== undefined && gates.hasListeners());
      const held = isWanted && subscription.ended === undefined ? hold(subscription) : undefined;
      // After the lease: else a process that is killed in between never delivers the leave. One
      // that continues another has had its join.
      const notify = () => (subscription.lease === "elsewhere" ? undefined : notifyJoined());
      const deliverJoin = () => held?.then(notify, notify) ?? notifyJoined();
      if (before === undefined && options?.isProvisional === true && isWatched())
        defer(subscription, deliverJoin);
      else if (before === undefined) subscription.joinDelivered = deliverJoin();
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
        // Another process asks the gates anew, and reports the join.
        leave(subscription);
        throw error;
      }
      return subscription;
    },
    open: () => open,
    joining: () => joining.keys(),
    suspended: () => suspended,
    endAdopted: (matches, error) => recentEnds.add(matches, error),
    adopt(lease) {
      present++;
      const joined = readLeavePayload(lease.payload);
      const subscription = new AdmittedSubscription(keeper, joined, lostHolder(joined));
      subscription.adopt(lease);
      suspended.add(subscription);
      const ended = recentEnds.endOf(subscription);
      if (ended !== undefined) subscription.end(ended);
      return subscription;
    },
    async whenDecided() {
      await Promise.allSettled(joining.values());
    },
    async holdAll() {
      const errors: unknown[] = [];
      const holdOrForget = async (subscription: AdmittedSubscription) => {
        try {
          await hold(subscription);
        } catch (error) {
          // The other process asks the gates anew, and reports the join.
          if (error instanceof HeldElsewhere) forget(subscription);
          else if (!subscription.isOver) errors.push(error);
        }
      };
      await Promise.all(Array.from([...open, ...suspended], holdOrForget));
      if (errors.length > 0) throw errors[0];
    },
    async whenQueued() {
      if (present > 0) await new Promise<void>((resolve) => waiters.push(resolve));
    },
  };
}
