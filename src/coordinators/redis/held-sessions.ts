import type { SessionRecord } from "../../core/coordinator.ts";
import type { StoredSession } from "./session-commands.ts";

/** A subscription of a session. */
interface HeldLease {
  readonly payload: string;
  /** Whether its record is known to exist, as far as this process is concerned. */
  isRecorded: boolean;
}

/** When a session was known to be recorded for this process. */
export interface Sight {
  /** The lineage of the fleet's log at that time. */
  readonly lineage: string;
  /** The time by the clock of Redis, or earlier, in milliseconds. */
  readonly atMs: number;
}

/** A session that this process holds, as far as it knows. */
export interface HeldSession extends SessionRecord {
  changes: number;
  isAdopted: boolean;
  /** Whether items may be bound to its connection. */
  isBound: boolean;
  readonly leases: Map<string, HeldLease>;
  /** Undefined: it is new. */
  seen: Sight | undefined;
  /** Whether its end is under way. */
  isEnding: boolean;
  /** Whether another process has asked for it: no call of it may start here. */
  isReleased: boolean;
  /** When its calls may start, by the monotonic clock: the process that had it starts none then. */
  startsMs: number;
}

/** The sessions that this process holds, with their subscriptions. */
export class HeldSessions {
  readonly #all = new Map<string, HeldSession>();
  /** Sessions of the subscriptions of this process. */
  readonly #ofLeases = new Map<string, HeldSession>();

  get(id: string): HeldSession | undefined {
    return this.#all.get(id);
  }

  /** Whether a session is the one that this process holds under its id. */
  has(session: HeldSession): boolean {
    return this.#all.get(session.id) === session;
  }

  values(): HeldSession[] {
    return Array.from(this.#all.values());
  }

  /** The session of a subscription. */
  ofLease(id: string): HeldSession | undefined {
    return this.#ofLeases.get(id);
  }

  /** Adds a new session. */
  begin(record: SessionRecord): HeldSession {
    const session: HeldSession = {
      ...record,
      ...{ changes: 0, isAdopted: false, isBound: false, seen: undefined },
      ...newlyHeld(-Infinity),
    };
    this.#all.set(session.id, session);
    return session;
  }

  /** Adds a session of another process, in place of an earlier one of its id. */
  add(
    { leases, ...rest }: StoredSession,
    isAdopted: boolean,
    seen: Sight,
    startsMs = -Infinity,
  ): void {
    const before = this.#all.get(rest.id);
    if (before !== undefined) this.forget(before);
    const session: HeldSession = { ...rest, isAdopted, seen, ...newlyHeld(startsMs) };
    this.#all.set(session.id, session);
    for (const [id, payload] of leases) this.hold(session, id, payload).isRecorded = true;
  }

  /** Forgets a session that is not this process's any more. */
  forget(session: HeldSession): void {
    if (this.has(session)) this.#all.delete(session.id);
    for (const id of session.leases.keys())
      if (this.#ofLeases.get(id) === session) this.#ofLeases.delete(id);
  }

  /** Adds a subscription. */
  hold(session: HeldSession, id: string, payload: string): HeldLease {
    const lease = { payload, isRecorded: false };
    session.leases.set(id, lease);
    this.#ofLeases.set(id, session);
    return lease;
  }

  /** Removes a subscription. */
  release(session: HeldSession, id: string): void {
    session.leases.delete(id);
    if (this.#ofLeases.get(id) === session) this.#ofLeases.delete(id);
  }

  /** Removes the subscriptions that ended at another process, which had adopted the session. */
  prune(session: HeldSession, left: ReadonlySet<string>): void {
    for (const [id, { isRecorded }] of session.leases)
      if (isRecorded && !left.has(id)) this.release(session, id);
  }
}

function newlyHeld(startsMs: number) {
  const leases: HeldSession["leases"] = new Map();
  return { isEnding: false, isReleased: false, startsMs, leases };
}
