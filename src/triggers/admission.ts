import type { StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import type { SubscriberPresence } from "../core/subscriber-presence.ts";
import type { Caller } from "../rights/caller.ts";
import type { JoinedSubscription } from "./payloads.ts";

/** A subscription that another one may replace before anybody is notified of it. */
export interface Provisional {
  /** Calls the join listeners, as for any other subscription. A leave does it first. */
  announce(): void;
  /** Ends it in place of a leave: it has neither a join event nor a leave. */
  withdraw(): void;
}

/** A subscription that every gate allowed. */
export interface Admission {
  /** Present until it is announced or withdrawn. Absent as well where nobody is to be notified. */
  readonly provisional?: Provisional | undefined;
  /** Why the subscription was ended; undefined while it was not. Known before it is open, too. */
  readonly ended: StreamError | undefined;
  /**
   * Its announcement; undefined: none. One that continues an earlier subscription has the
   * announcement of that.
   */
  readonly presence: SubscriberPresence | undefined;
  /**
   * Replaces its announcement, and withdraws the replaced one; undefined: by none. The announcement
   * is withdrawn with the subscription.
   */
  show(presence: SubscriberPresence | undefined): void;
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

/** What identifies a subscription of a session: joins with the same are joins of the same one. */
export type SessionTarget = Omit<JoinedSubscription, "user" | "context" | "connection">;

/** The session of a holder, as far as it matters to subscriptions. */
export interface HolderSession {
  /** Its id. */
  readonly id: string;
  /** Begins a join, before its gates are asked. */
  begin(join: SessionTarget): SessionJoin;
}

/**
 * A join of a session while its gates are asked. The session may change sockets meanwhile, and a
 * later socket may make the same join again: of all joins of one subscription, the one that was
 * allowed first opens it, and a later one that is allowed continues it. One of `allow` and `fail`
 * is called, once.
 */
export interface SessionJoin {
  /**
   * The gates allow it.
   *
   * @returns `superseded` when a later join of the subscription is open already: this one has
   *   neither a join event nor a leave. Otherwise the suspended subscription that it continues,
   *   which may have been ended; undefined: it is a new one.
   */
  allow(): SuspendedSubscription | "superseded" | undefined;
  /** The gates refused it, or it was not decided. What it would have continued waits again. */
  fail(): void;
}

/** A subscription that is open, or whose gates are being asked. */
export interface Admitted {
  readonly joined: JoinedSubscription;
  readonly subscriber: SubscriptionHolder;
  /**
   * Whether it belongs to a session: while that changes hands, two sockets, maybe of two processes,
   * have the same subscription.
   */
  readonly isOfSession: boolean;
  /** When it asked for admission, Unix milliseconds. */
  readonly sinceMs: number;
  /** Everything up to here was handed to its transport; undefined: nothing yet. */
  readonly position: Position | undefined;
  /** @see Admission */
  readonly presence: SubscriberPresence | undefined;
  /** @see Admission */
  show(presence: SubscriberPresence | undefined): void;
  /** Ends it: when this returns, nothing more is handed to its transport (G11). */
  end(error: StreamError): void;
}
