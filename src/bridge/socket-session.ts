import type { SessionConnection } from "../core/connection.ts";
import type { SessionRecord } from "../core/coordinator.ts";
import type {
  HolderSession,
  SessionJoin,
  SessionTarget,
  SubscriptionHolder,
  SuspendedSubscription,
} from "../service/handlers.ts";
import { CallOrder, type WaitingCalls } from "./call-order.ts";
import type { CallSession } from "./socket-calls.ts";
import { SessionJoins, type Suspended, sessionKeyOf } from "./session-joins.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** The socket that holds a session. */
export interface SessionHolder extends SubscriptionHolder {
  /** Closes it, because its client takes the session up elsewhere. It loses the session at once. */
  onTaken(): void;
}

/** Keeps the sessions of a process. */
export interface SessionKeeper {
  /** How long a session outlives its connection, in milliseconds. */
  readonly timeoutMs: number;
  /** How many subscriptions a session keeps suspended. The oldest ones leave. */
  readonly maxSuspended: number;
  /** Whether the process ends: sessions that are lost now are over at once. */
  readonly isClosed: boolean;
  /** @see Sessions.isHeld */
  isHeld(id: string): boolean | Promise<boolean>;
  /** Counts the calls of all sockets that wait. */
  readonly waiting: WaitingCalls;
  /** Called when a session has expired, or its client has ended it. */
  onOver(session: SocketSession): void;
}

/**
 * The session of a client, as long as one socket holds it, and after its loss.
 *
 *     held --lost--> lost --taken up--> handed to the session of the next socket
 *       |              '----expired---> over: what is suspended leaves
 *       '--ended by its client--------> over
 *
 * A subscription whose connection was lost is suspended: it waits here for its join to be made again.
 * After a take-up, those whose joins are not made again within the timeout leave.
 */
export class SocketSession implements HolderSession, CallSession {
  readonly id: string;
  readonly owner: string;
  /** Its connection. A session that continues it at this process has the same. */
  readonly connection: SessionConnection;
  readonly #keeper: SessionKeeper;
  readonly #holder: SessionHolder | undefined;
  #state: "held" | "lost" | "handed" | "over" = "held";
  #suspended: Map<string, Suspended> | undefined;
  /** The joins whose gates are being asked, over all sockets of the session. */
  #joins: SessionJoins | undefined;
  #order: CallOrder | undefined;
  /** Whether calls may start, while that is being found out. */
  #checking: Promise<boolean> | undefined;
  #next: SocketSession | undefined;
  /** Whether its leaves are to be delivered here, once it is over. */
  #isOurs = true;
  #expiry: Timer | undefined;
  /** The end of what was inherited. */
  #settling: Timer | undefined;

  constructor(
    keeper: SessionKeeper,
    record: Pick<SessionRecord, "id" | "owner">,
    connection: SessionConnection,
    holder: SessionHolder | undefined,
  ) {
    this.#keeper = keeper;
    this.id = record.id;
    this.owner = record.owner;
    this.connection = connection;
    this.#holder = holder;
  }

  /** Whether its connection was lost, and nobody has taken it up. */
  get isLost(): boolean {
    return this.#state === "lost";
  }

  /** @see CallSession */
  get order(): CallOrder {
    return (this.#order ??= new CallOrder(this.#keeper.waiting));
  }

  /** @see CallSession */
  mayStart(): boolean | Promise<boolean> {
    // Calls that come meanwhile wait for the same, so that they start in order.
    if (this.#checking !== undefined) return this.#checking;
    const isHeld = this.#keeper.isHeld(this.id);
    if (typeof isHeld === "boolean") return isHeld;
    this.#checking = isHeld.finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  /** @see HolderSession */
  begin(join: SessionTarget): SessionJoin {
    if (this.#next !== undefined) return this.#next.begin(join);
    const key = sessionKeyOf(join);
    this.#joins ??= new SessionJoins();
    return this.#joins.begin(
      key,
      () => this.#claim(key),
      (suspended) => this.#restore(suspended),
    );
  }

  #claim(key: string): Suspended | undefined {
    const found = this.#suspended?.get(key);
    this.#suspended?.delete(key);
    return found?.subscription.isOver === true ? undefined : found;
  }

  #restore(suspended: Suspended): void {
    this.#keep(suspended);
    this.#settleInherited();
  }

  /** Keeps a subscription whose connection was lost. */
  suspend(subscription: SuspendedSubscription): void {
    this.#keep({ subscription, untilMs: Infinity });
  }

  /** Its connection was lost: it can be taken up until it expires. */
  lose(): void {
    if (this.#state !== "held") return;
    this.#state = "lost";
    // Its leaves are those of the process that takes it up.
    this.#cancel();
    if (this.#keeper.isClosed) return this.#keeper.onOver(this);
    this.#expiry = startTimer(this.#keeper.timeoutMs, () => this.#keeper.onOver(this)).unref();
  }

  /** Its client has ended it. */
  end(): void {
    if (this.#state !== "held") return;
    this.#state = "lost";
    this.#keeper.onOver(this);
  }

  /** Closes its socket, before it is taken up. */
  release(): void {
    if (this.#state === "held") this.#holder?.onTaken();
  }

  /**
   * Closes its socket, before it is taken up at another process. Resolves when its writes that were
   * handed to the store are over, those of its presence too; those that wait for gates fail.
   */
  async releaseElsewhere(): Promise<void> {
    this.release();
    this.connection.isReplaced = true;
    await this.#order?.whenIdle();
    await this.connection.settled();
  }

  /** Passes everything to the session of the socket that took it up. */
  handTo(next: SocketSession): void {
    this.#cancel();
    this.#state = "handed";
    this.#next = next;
    const suspended = Array.from(this.#suspended?.values() ?? []);
    this.#suspended = undefined;
    next.#joins = this.#joins;
    next.#order = this.#order;
    next.inherit(suspended);
  }

  /**
   * Receives subscriptions that were suspended before it was taken up. One that an earlier take-up
   * gave a time keeps it.
   */
  inherit(suspended: readonly Suspended[]): void {
    const newMs = performance.now() + this.#keeper.timeoutMs;
    for (const { subscription, untilMs } of suspended)
      this.#keep({ subscription, untilMs: Math.min(untilMs, newMs) });
    this.#settleInherited();
  }

  /**
   * Ends it: what is suspended leaves, then what is bound to its connection is deleted.
   *
   * @param isOurs Whether that is to be done here; otherwise another process does it.
   */
  settle(isOurs: boolean): void {
    this.#cancel();
    this.#state = "over";
    this.#isOurs = isOurs;
    for (const { subscription } of this.#suspended?.values() ?? []) this.#part(subscription);
    this.#suspended = undefined;
    this.connection.end(isOurs);
  }

  #keep(suspended: Suspended): void {
    const { subscription } = suspended;
    if (this.#next !== undefined) return this.#next.inherit([suspended]);
    if (this.#state === "over") return this.#part(subscription);
    const key = sessionKeyOf(subscription.joined);
    if (this.#joins?.keep(key, suspended) === true) return;
    this.#suspended ??= new Map();
    // One that was suspended before under the same id was replaced.
    this.#suspended.get(key)?.subscription.leave();
    this.#suspended.delete(key);
    this.#suspended.set(key, suspended);
    this.#leaveOldest(this.#suspended);
  }

  /** Ends those that are too many. */
  #leaveOldest(all: Map<string, Suspended>): void {
    for (const [key, { subscription }] of all) {
      if (all.size <= this.#keeper.maxSuspended) return;
      all.delete(key);
      subscription.leave();
    }
  }

  /** Ends what was inherited and not joined again in time. */
  #settleInherited(): void {
    this.#settling?.cancel();
    this.#settling = undefined;
    if (this.#state !== "held") return;
    let nextMs = Infinity;
    for (const [key, { subscription, untilMs }] of this.#suspended ?? []) {
      if (untilMs <= performance.now()) {
        this.#suspended?.delete(key);
        subscription.leave();
      } else nextMs = Math.min(nextMs, untilMs);
    }
    if (nextMs === Infinity) return;
    const leftMs = nextMs - performance.now() + 1;
    this.#settling = startTimer(leftMs, () => this.#settleInherited()).unref();
  }

  /** Ends a subscription after the session. */
  #part(subscription: SuspendedSubscription): void {
    if (this.#isOurs) subscription.leave();
    else subscription.drop();
  }

  #cancel(): void {
    this.#expiry?.cancel();
    this.#settling?.cancel();
    this.#settling = undefined;
  }
}
