import type { StreamError } from "../core/errors.ts";
import { HeldElsewhere } from "../core/held-elsewhere.ts";
import type { Position } from "../core/position.ts";
import { type Caller, NOBODY } from "../rights/caller.ts";
import type { Leases, SubscriptionLease } from "../core/coordinator.ts";
import type { AdmitOptions, JoinGates, NotifyJoined } from "./join-gates.ts";
import type { Leaves } from "./leaves.ts";
import { type JoinedSubscription, leavePayload, readLeavePayload } from "./payloads.ts";
import { RecentEnds } from "./recent-ends.ts";
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
  /** Suspends the subscription, in place of `leave`: its client may join it again. */
  suspend(): SuspendedSubscription;
}

/**
 * A subscription whose connection was lost. Its leave waits until its client has come back and
 * joined it again, or has not in time.
 */
export interface SuspendedSubscription {
  readonly joined: JoinedSubscription;
  /** Whether it was ended meanwhile: a later join is a new subscription. */
  readonly isOver: boolean;
  /** Reports its end: leave triggers run. Only the first call of this or `drop` counts. */
  leave(): void;
  /** Forgets it: another process holds its lease. */
  drop(): void;
}

/** What holds the open subscriptions of a caller: a socket, or a call. */
export interface SubscriptionHolder {
  /** How it is connected. */
  readonly door: "rpc" | "socket" | "library";
  /** Address of the client, as its limits count it; empty: a program in this process. */
  readonly address: string;
  /** The caller, with its latest credentials. */
  readonly caller: Caller;
  /** The session whose subscriptions they are; undefined: none outlives its connection. */
  readonly session?: HolderSession | undefined;
  /** Everything up to here was handed to the transport; undefined: nothing yet. */
  positionOf(admission: Admission): Position | undefined;
  /**
   * Ends the subscription of an admission, also one that is about to open. When it returns, nothing
   * more is handed to the transport for it (G11). The subscriber gets the error, and releases the
   * admission. It is found by its admission: its client may have given it another id since.
   */
  end(admission: Admission, error: StreamError): void;
}

/** The session of a holder, as far as it matters to subscriptions. */
export interface HolderSession {
  /** Its id. */
  readonly id: string;
  /**
   * The suspended subscription that a join continues, if it is the same again. It is claimed until
   * it is either continued or restored.
   */
  claim(
    join: Omit<JoinedSubscription, "user" | "context" | "connection">,
  ): SuspendedSubscription | undefined;
  /** Returns what was claimed for a join that failed. */
  restore(suspended: SuspendedSubscription): void;
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

const NEVER = new Promise<never>(() => {});

/** Keeps the subscriptions. */
interface Keeper {
  newId(): string;
  onLeave(subscription: OpenSubscription): void;
  onSuspend(subscription: OpenSubscription): void;
  onDrop(subscription: OpenSubscription): void;
}

/** A subscription, open or suspended. There are many thousands, so each is one object. */
class OpenSubscription implements Admission, Admitted, SubscriptionLease, SuspendedSubscription {
  readonly #keeper: Keeper;
  #id: string | undefined;
  readonly joined: JoinedSubscription;
  readonly subscriber: SubscriptionHolder;
  sinceMs = Date.now();
  /** Resolves when the join listeners have run: no leave is delivered before its join. */
  joinDelivered: Promise<void> = NEVER;
  /** Unsure: it could not be recorded, as far as is known. */
  lease: "none" | "unsure" | "recorded" = "none";
  /** The session that its lease is of. */
  session: string | undefined;
  state: "joining" | "open" | "suspended" | "over" = "joining";
  ended: StreamError | undefined;

  constructor(keeper: Keeper, joined: JoinedSubscription, subscriber: SubscriptionHolder) {
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

  get position(): Position | undefined {
    return this.state === "open" ? this.subscriber.positionOf(this) : undefined;
  }

  /** Continues another one: it has its lease, and its leave comes after that one's join. */
  continue(before: OpenSubscription): void {
    this.#id = before.#id;
    this.lease = before.lease;
    this.session = before.session;
    this.sinceMs = before.sinceMs;
    this.joinDelivered = before.joinDelivered;
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
function lostHolder({ user, context, connection }: JoinedSubscription): SubscriptionHolder {
  return {
    door: "socket",
    address: "",
    caller: { ...NOBODY, user, context, connection },
    positionOf: () => undefined,
    end: () => {},
  };
}

/** Connects gates, leases and leaves. Admitted subscriptions may cover reads of their callers. */
export function createAdmissions(
  gates: Pick<JoinGates, "admit" | "hasListeners">,
  reads: ReadAdmissions,
  leaves: Leaves,
  leases: Leases,
  newId: () => string,
): Admissions {
  const open = new Set<OpenSubscription>();
  const suspended = new Set<OpenSubscription>();
  const joining = new Map<OpenSubscription, Promise<unknown>>();
  /**
   * Number of subscriptions at the gates, open, suspended, or with a leave that is not queued yet.
   */
  let present = 0;
  const waiters: (() => void)[] = [];
  const recentEnds = new RecentEnds<Admitted>();
  const gone = () => {
    if (--present === 0) for (const resolve of waiters.splice(0)) resolve();
  };
  const hold = async (subscription: OpenSubscription) => {
    if (subscription.lease === "recorded") return;
    // Before it is: one that ends meanwhile has to be released.
    subscription.lease = "recorded";
    subscription.session = subscription.subscriber.session?.id;
    try {
      await leases.hold(subscription);
    } catch (error) {
      subscription.lease = "unsure";
      subscription.session = undefined;
      throw error;
    }
  };
  /** Takes it from those that are open or suspended. @returns Whether it was one. */
  const remove = (subscription: OpenSubscription): boolean => {
    if (suspended.delete(subscription)) return true;
    if (!open.delete(subscription)) return false;
    reads.release(subscription.joined);
    return true;
  };
  const deliver = (subscription: OpenSubscription) => {
    leaves.deliver(subscription, subscription.lease !== "none");
    gone();
  };
  const leave = (subscription: OpenSubscription) => {
    if (!remove(subscription)) return;
    subscription.state = "over";
    void subscription.joinDelivered.then(() => {
      if (subscription.session === undefined) return deliver(subscription);
      leases.detach(subscription.id).then(
        (isOurs) => (isOurs ? deliver(subscription) : gone()),
        // It may be delivered twice, rather than never.
        () => deliver(subscription),
      );
    });
  };
  /** Ends one that has no leave here. */
  const forget = (subscription: OpenSubscription) => {
    if (!remove(subscription)) return;
    subscription.state = "over";
    gone();
  };
  const keeper: Keeper = {
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
      const subscription = new OpenSubscription(keeper, joined, subscriber);
      const { session } = subscriber;
      const before = session?.claim(joined) as OpenSubscription | undefined;
      // From now on, the end of this one is its end.
      if (before !== undefined) suspended.delete(before);
      const decision = gates.admit(joined, { ...options, notifies: before === undefined });
      joining.set(subscription, decision);
      let notifyJoined: NotifyJoined;
      try {
        notifyJoined = await decision;
      } catch (error) {
        gone();
        if (before !== undefined) {
          suspended.add(before);
          if (subscription.ended === undefined) session?.restore(before);
          else before.end(subscription.ended);
        }
        throw error;
      } finally {
        joining.delete(subscription);
      }
      if (before !== undefined) {
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
      if (before === undefined)
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
    suspended: () => suspended,
    endAdopted: (matches, error) => recentEnds.add(matches, error),
    adopt(lease) {
      present++;
      const joined = readLeavePayload(lease.payload);
      const subscription = new OpenSubscription(keeper, joined, lostHolder(joined));
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
      const holdOrForget = async (subscription: OpenSubscription) => {
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
