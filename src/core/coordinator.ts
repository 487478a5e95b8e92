import type { CallOptions } from "./function-call.ts";
import type { Unwatch } from "./watchers.ts";
import type { BoundTrigger, TriggerDefinition } from "./trigger.ts";

/**
 * The second port, beside the Store: what the processes of a fleet have to agree on. A service of
 * one process uses the local coordinator, a fleet of one.
 *
 * The shared suite in test/coordinators verifies every implementation.
 */
export interface Coordinator {
  readonly registry: Registry;
  readonly ownership: Ownership;
  readonly leases: Leases;
  readonly routing: Routing;
  readonly orders: Orders;
  readonly sessions: Sessions;
  /** Releases everything that this process holds. Idempotent. */
  close(): Promise<void>;
}

/**
 * Which functions have a provider somewhere, and which triggers are in force.
 *
 * A registration takes effect at every process before it resolves: from then on no write misses a
 * trigger, and no subscription misses a gate, at whichever process they are made.
 */
export interface Registry {
  /** Announces that this process provides a function. Resolves when every process knows. */
  provide(functionId: string): Promise<void>;
  /**
   * Announces that this process no longer provides it.
   *
   * `withdrawn`: on request. `lost`: its provider disconnected. A function of a custom stream then
   * stays known as one, so that calls fail instead of reaching the built-in store.
   */
  withdraw(functionId: string, how: "withdrawn" | "lost"): Promise<void>;
  /** Whether some process provides the function. */
  provides(functionId: string): boolean;
  /** Ids of the functions that some process provides, each once, in any order. */
  functions(): Iterable<string>;
  /**
   * Ids of the functions of custom streams (see overrideId), including those without a provider.
   */
  overrides(): ReadonlySet<string>;
  /**
   * Puts a trigger in force on behalf of this process. An equal definition is the same trigger:
   * this process shares it, or re-attaches it when no process held it any more. Resolves when it is
   * in force at every process. One with a known durable name replaces the definition of the known
   * trigger, which keeps its id.
   *
   * @throws StreamError STORE_UNAVAILABLE when it is not in force everywhere, or it is durable and a
   *   process of the fleet runs an older version that knows no durable triggers.
   */
  bind(definition: TriggerDefinition): Promise<BoundTrigger>;
  /**
   * Ends this process's share in a trigger.
   *
   * `withdrawn`: on request. The trigger ends when no other process holds it.
   * `lost`: its registrant disconnected. The trigger stays in force for REATTACH_MS so that the
   * registrant can re-attach. A gate stays until it is withdrawn, because it must not open by
   * itself, and so does a durable trigger (see isLasting).
   */
  unbind(id: string, how: "withdrawn" | "lost"): Promise<void>;
  /** All triggers in force. A new array after each change. */
  triggers(): readonly BoundTrigger[];
  /** Calls the listener after each change of the registry. The listener must not block. */
  watch(listener: () => void): Unwatch;
  /**
   * Whether this view is the one the fleet agreed on. A process that could not reach the others for
   * `registry_timeout` must assume that there are gates it does not know.
   */
  isCurrent(): boolean;
}

/** How long a trigger outlives its last registrant, in milliseconds. */
export const REATTACH_MS = 30_000;

/** Which process reads and settles each partition of the outbox: one at a time. */
export interface Ownership {
  /**
   * Contends for partitions from now on: calls `gained` for each that this process owns, and `lost`
   * when it no longer owns one. After that it must not start another call for the partition.
   */
  contend(partitions: number, owner: Owner): Unwatch;
}

/** Notified of gained and lost partitions. */
export interface Owner {
  /** @param fence Proves ownership to the outbox. */
  gained(partition: number, fence: string): void;
  /**
   * Resolves when the work in progress for the partition is done. The partition passes to its next
   * owner after that, or when the lease of this process ends.
   */
  lost(partition: number): void | Promise<void>;
}

/**
 * A subscription that `stream:join` triggers were called for, and `stream:leave` triggers will be.
 */
export interface SubscriptionLease {
  /** Unique over all processes and times. */
  readonly id: string;
  /** Payload for the leave handlers: JSON text. */
  readonly payload: string;
  /**
   * Id of the session that it belongs to, held by the process that holds the lease. It becomes an
   * orphan when that session expires, not when its process is gone. Undefined: of none.
   */
  readonly session?: string | undefined;
}

/**
 * Open subscriptions, recorded so that their leave triggers run even when their process is killed.
 * A coordinator that keeps nothing beyond its process runs none after it.
 */
export interface Leases {
  /**
   * Records an open subscription. Resolves when the record survives this process. After a failure,
   * it may be called again.
   *
   * @throws StreamError HeldElsewhere when another process holds its session.
   */
  hold(lease: SubscriptionLease): Promise<void>;
  /**
   * Detaches the lease of a subscription that has ended from its session, which may go on elsewhere.
   *
   * @returns Whether this process has the lease. Otherwise it went with its session, and the process
   *   that holds that delivers the leave.
   */
  detach(id: string): Promise<boolean>;
  /** Forgets a subscription whose leave triggers have run. */
  release(id: string): Promise<void>;
  /**
   * Calls the listener with each subscription whose process is gone, including those of earlier
   * runs. Those of a session follow when it has expired. The listener runs the leave triggers, then
   * releases the lease: until then the same orphan may be reported again, here or at another
   * process.
   */
  onOrphan(listener: (lease: SubscriptionLease) => void): Unwatch;
}

/** Calls between processes. */
export interface Routing {
  /**
   * Calls a function at another process that provides it.
   *
   * @throws FunctionError function_not_found when no other process provides it.
   */
  call(functionId: string, payload: string, options: CallOptions): Promise<string | undefined>;
  /** Serves the calls of other processes. */
  serve(
    handler: (
      functionId: string,
      payload: string,
      options: CallOptions,
    ) => Promise<string | undefined>,
  ): void;
}

/** Largest size of an order, in bytes of UTF-8. */
export const MAX_ORDER_BYTES = 65_536;

/**
 * Carries out an order at this process. Resolves when it is in force here, with a result for the
 * process that issued it.
 */
export type OrderHandler = (order: string) => Promise<string>;

/**
 * Orders that take effect at every process of the fleet before the process that issued them goes on
 * (G11): a process carries an order out, or it is certain not to deliver anything any more.
 */
export interface Orders {
  /**
   * Carries an order out at every process of the fleet, including this one. Resolves when each
   * process that was a member when the order was issued has carried it out, or may not deliver any
   * more (see `mayDeliver`) because it left or its lease ended. A process that is silent is waited
   * for until its lease has ended; a slow handler for at least ORDER_TIMEOUT_MS.
   *
   * A process without a handler carries an order out by doing nothing.
   *
   * @param order JSON text of at most MAX_ORDER_BYTES.
   * @returns the results of the processes that have a handler and carried it out, in any order.
   * @throws StreamError STORE_UNAVAILABLE when the fleet cannot be reached, or when a process of the
   * fleet runs an older version that knows no orders. OUTCOME_UNKNOWN when a handler failed or did
   * not end in time. In both cases some processes may have carried the order out, and may yet; it
   * is safe to issue an order again whose repetition is harmless.
   * @throws RangeError when the order is too large.
   */
  issue(order: string): Promise<readonly string[]>;
  /**
   * Carries out the orders of all processes from now on. May be called once, before this process
   * has anything that an order could concern: earlier orders were carried out by doing nothing.
   *
   * The handler is called for each order once, in an order that is the same at every process. It is
   * not awaited before the next call. Its failure fails `issue`. When the fleet loses its latest
   * data, orders may be repeated, and concurrent ones change places.
   */
  serve(handler: OrderHandler): void;
  /**
   * Whether orders reach this process, by its monotonic clock: its lease has not ended. Otherwise
   * it must deliver nothing, and open nothing that would deliver, because orders may be issued that
   * it does not receive. Cheap enough to be asked before each delivery.
   */
  mayDeliver(): boolean;
  /**
   * Calls the listener each time after `mayDeliver` turned false, except by `close`, and before it
   * turns true again. The listener ends, synchronously, everything that an order might have ended,
   * including what is being opened: this process may not receive orders that were issued meanwhile.
   *
   * A process that was suspended notices the end of its lease late; until it does, `mayDeliver` is
   * false already.
   */
  onLapse(listener: () => void): Unwatch;
}

/** How long an order waits for handlers, in milliseconds. */
export const ORDER_TIMEOUT_MS = 60_000;

/** A session of a client: it outlives a lost connection for a while. */
export interface SessionRecord {
  /** Digest of its secret. Unique over all processes and times. */
  readonly id: string;
  /** Digest of the identity of its caller: nobody else can take it up. */
  readonly owner: string;
  /** Id of its connection, which goes on when it is taken up. */
  readonly connectionId: string;
  /** Whether items may be bound to its connection already. Default false. */
  readonly isBound?: boolean | undefined;
}

/** A session that this process has taken up. */
export interface TakenSession {
  readonly connectionId: string;
  /** Whether items may be bound to its connection, by writes at other processes. */
  readonly isBound: boolean;
  /**
   * The leases of its subscriptions, which this process holds from now on. Undefined: it held the
   * session all along, and knows them.
   */
  readonly leases: readonly SubscriptionLease[] | undefined;
}

/** Carries out what the fleet requires of the sessions at this process. */
export interface SessionOwner {
  /**
   * Closes what a session is connected by, because it is about to be taken up at another process.
   * Resolves when that is done, and its calls that had started are over.
   */
  release(id: string): Promise<void>;
  /** This process holds a session from now on, whose process is gone. Nothing is connected by it. */
  adopt(session: SessionRecord, leases: readonly SubscriptionLease[]): void;
  /**
   * All sessions of this process have been recorded anew, because data or messages may have been
   * lost: so may what was stored on their behalf.
   */
  onRecordedAnew(): void;
}

/**
 * The sessions of clients, each held by one process. Between a take-up and an end of the same
 * session, the first one decides, and the other finds it gone.
 *
 * A session whose process is gone expires `presence_timeout` after the others have noticed; until
 * then it can be taken up.
 */
export interface Sessions {
  /** Whether a process that ends leaves its sessions, with their leases, to the others. */
  readonly survive: boolean;
  /** Records a new session, held by this process. */
  begin(session: SessionRecord): Promise<void>;
  /**
   * Takes up a session, once the process that holds it has released it. One that does not respond
   * is waited for only briefly: it finds out that it no longer holds the session.
   *
   * @returns undefined when there is none of that id and owner.
   * @throws StreamError STORE_UNAVAILABLE
   */
  take(id: string, owner: string): Promise<TakenSession | undefined>;
  /**
   * Whether this process holds a session, so that calls of it may start. True is certain for this
   * moment: no other process has taken it up, or it starts no calls of it yet. Cheap enough to be
   * asked before each call.
   *
   * @throws StreamError STORE_UNAVAILABLE, as a rejection, when that cannot be found out.
   */
  isHeld(id: string): boolean | Promise<boolean>;
  /**
   * Ends a session that this process holds.
   *
   * @returns Whether it did; then its leases are this process's to deliver and release. Otherwise
   *   it was taken up, and they went with it.
   */
  end(id: string): Promise<boolean>;
  /**
   * Records that items are bound to the connection of a session, before the writes that bind them
   * are acknowledged.
   *
   * @returns Whether the session continues, here or at another process.
   * @throws StreamError STORE_UNAVAILABLE
   */
  bind(session: Pick<SessionRecord, "id" | "connectionId">): Promise<boolean>;
  /**
   * The connections among these that `bind` was called for and whose sessions continue, anywhere.
   * After a loss of data, some are missing until their processes have recorded them anew.
   *
   * @throws StreamError STORE_UNAVAILABLE
   */
  connected(connections: readonly string[]): Promise<ReadonlySet<string>>;
  /**
   * Takes part in the sessions of the fleet. May be called once. A process that does not call it
   * adopts none.
   */
  serve(owner: SessionOwner): void;
}

/** How long a session outlives its connection, unless the configuration says otherwise, in milliseconds. */
export const DEFAULT_PRESENCE_TIMEOUT_MS = 10_000;
