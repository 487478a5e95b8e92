import type { SessionOwner, Sessions, SubscriptionLease } from "../../core/coordinator.ts";
import { HeldElsewhere } from "../../core/held-elsewhere.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import { sleep } from "../../timers/timers.ts";
import { type FleetKeys, processOf } from "./fleet-keys.ts";
import type { FleetCommands } from "./fleet-commands.ts";
import type { Membership } from "./membership.ts";
import { type HeldSession, HeldSessions, type Sight } from "./held-sessions.ts";
import type { Replica } from "./replica.ts";
import { createSessionAdoption } from "./session-adoption.ts";
import { createSessionFence } from "./session-fence.ts";
import { createSessionRequests } from "./session-requests.ts";
import type { SessionCommands, StoredSession } from "./session-commands.ts";

/** Dependencies of the sessions of a fleet. */
export interface FleetSessionsOptions {
  /** Id of this process. */
  readonly process: string;
  readonly keys: FleetKeys;
  readonly commands: SessionCommands;
  readonly publish: FleetCommands["publish"];
  readonly replica: Replica;
  readonly membership: Membership;
  /** Longest wait for a message, in milliseconds. */
  readonly timeoutMs: number;
  /** Length of the lease of a member, in milliseconds. */
  readonly leaseMs: number;
  /** Called with a lease that is of no session any more, and recorded for this process. */
  readonly onLease: (lease: SubscriptionLease) => void;
  /** Whether a lease of no session is recorded for this process. */
  readonly isOwn: (id: string) => boolean;
  readonly onProblem: (error: unknown) => void;
}

/** The sessions of a fleet. */
export interface FleetSessions extends Sessions {
  /** Records a subscription of a session that this process holds. */
  hold(session: string, lease: SubscriptionLease): Promise<void>;
  /** @see Leases.detach */
  detach(id: string): Promise<boolean>;
  /** Forgets a subscription. @returns undefined when it is of no session of this process. */
  release(id: string): Promise<void> | undefined;
  /** A message of another process. */
  receive(message: Buffer): void;
  /** Messages to this process may have been lost. */
  doubt(): void;
  /** Called after each heartbeat: adopts the sessions of members that are gone. */
  review(): void;
  /** Stops adopting. */
  close(): void;
}

/** What they were recorded as, in place of a name, when messages may have been lost since. */
const IN_DOUBT = "in doubt";
/** How many sessions are recorded at once. */
const KEPT_AT_ONCE = 50;

/** Shortest time that the end of a session is known, in milliseconds. */
const MIN_TOMBSTONE_MS = 60_000;
/** The same as a multiple of the lease of a member. */
const LEASES_PER_TOMBSTONE = 6;

/**
 * Records the sessions of this process in Redis, with their subscriptions, and adopts those of
 * members that are gone.
 *
 * A session has one record, and each step that decides about it is one script that looks at the
 * record: so of a take-up, an adoption and an end, the first one decides. What a process does must
 * be right even if it was out of touch and has missed steps of others:
 *
 * - **The process that holds a session decides about its subscriptions**, and the record is a copy for
 *   those that hold it later. A process that lost a session finds another holder in the record, and
 *   delivers no leave: its detachments return false.
 * - **An end leaves a tombstone** in place of the record. Whoever finds it knows that the session is
 *   over: nobody records it anew, and nobody takes it up. The process whose member id it has may
 *   repeat its end when the reply was lost, and is the only one that gets the leases. Under a new
 *   member id it does not: its lease had ended, and with the leases of its old member id, the others
 *   deliver those leaves.
 * - **A missing record was lost, or its tombstone has passed.** A process records its session anew
 *   only if it was lost for certain: it saw the record at a time t by the clock of Redis, so that an
 *   end after t would have left a tombstone until t plus the life of a tombstone at least, and the
 *   script runs before that by the same clock. Otherwise the session is over. After the fleet's log
 *   was lost too, records are always made anew: a leave may then come twice, rather than never.
 * - A tombstone lasts several leases, so that a process whose lease lasts always finds it. A process
 *   that comes back later has lost its lease long since: others have adopted its sessions.
 */
export function createFleetSessions(options: FleetSessionsOptions): FleetSessions {
  const { process, keys, commands, publish, replica, membership, onProblem } = options;
  const { onLease, isOwn } = options;
  const tombstoneMs = Math.max(MIN_TOMBSTONE_MS, LEASES_PER_TOMBSTONE * options.leaseMs);
  const held = new HeldSessions();
  let owner: SessionOwner | undefined;
  /** Lineage and member id under which all sessions were last recorded. */
  let recordedAs = "";
  let recording: Promise<void> | undefined;
  /** How often messages may have been lost. */
  let doubts = 0;
  let closed = false;

  /** A sight by a command that is about to be sent. */
  const sightNow = (): Sight => ({
    lineage: replica.position.lineage,
    atMs: replica.redisNowMs ?? 0,
  });
  const leasesOf = ({ id: session, leases }: StoredSession): SubscriptionLease[] =>
    leases.map(([id, payload]) => ({ id, payload, session }));
  const adoption = createSessionAdoption({
    commands,
    replica,
    membership,
    held,
    sightNow,
    isOpen: () => !closed && owner !== undefined,
    onAdopted: (stored) => owner?.adopt(stored, leasesOf(stored)),
    onProblem,
  });

  /** Records a session. @returns false when it is over, or another process holds it. */
  const keep = async (session: HeldSession): Promise<boolean> => {
    // Retries until this process is a member, and again when its member id has changed.
    while (held.has(session)) {
      const { id: member } = membership;
      const sight = sightNow();
      const { seen, leases } = session;
      const isLost = seen === undefined || seen.lineage !== sight.lineage;
      const payloads = Array.from(leases, ([id, { payload }]) => [id, payload] as const);
      const kept = await commands.keep(
        member,
        { ...session, leases: payloads },
        isLost ? undefined : seen.atMs + tombstoneMs,
      );
      if (kept === "taken" || kept === "over") return false;
      if (kept === "no member") await membership.ready();
      else {
        session.seen = sight;
        session.changes = kept.changes;
        if (kept.reclaimed !== undefined) held.prune(session, kept.reclaimed);
        if (session.isBound) await commands.bind(session);
        if (member === membership.id) return true;
      }
    }
    return false;
  };
  /** Gives up a session that is over, or another process's. */
  const lose = async (session: HeldSession) => {
    held.forget(session);
    await owner?.release(session.id);
  };
  const keepOrLose = async (session: HeldSession): Promise<boolean> => {
    const isHeld = await keep(session);
    if (!isHeld && held.has(session)) await lose(session);
    return isHeld;
  };
  const currentName = () => `${replica.position.lineage} ${membership.id}`;
  /** Records all again after this process joined anew, Redis lost its data, or a message was lost. */
  const recordAll = async () => {
    const name = currentName();
    const before = doubts;
    try {
      // What becomes of one that is ending is decided by its end.
      const all = held.values().filter(({ isEnding }) => !isEnding);
      for (let i = 0; i < all.length; i += KEPT_AT_ONCE)
        await Promise.all(all.slice(i, i + KEPT_AT_ONCE).map(keepOrLose));
      if (before === doubts) recordedAs = name;
      owner?.onRecordedAnew();
    } catch (error) {
      onProblem(error);
    }
  };
  const recordAnew = () =>
    (recording ??= recordAll().finally(() => {
      recording = undefined;
    }));
  const reviewState = () => {
    if (closed || !replica.state.members.has(membership.id)) return;
    if (recordedAs === "") recordedAs = currentName();
    else if (recordedAs !== currentName()) void recordAnew();
  };
  membership.watch(reviewState);
  /**
   * Records all anew, if that is due. A session that another process has adopted comes back then.
   *
   * @returns Whether it was due.
   */
  const reclaim = async (): Promise<boolean> => {
    if (recording !== undefined) {
      await recording;
      return true;
    }
    const name = currentName();
    if (recordedAs === name) return false;
    await recordAnew();
    if (recordedAs !== name) throw unavailable(undefined);
    return true;
  };

  const requests = createSessionRequests({
    process,
    channelOf: (of) => keys.sessionsAt(of),
    publish,
    async release(id) {
      const session = held.get(id);
      if (session !== undefined) session.isReleased = true;
      await owner?.release(id);
    },
    onProof: (proof) => fence.receive(proof),
    onProblem,
  });
  /** Whether the record of a session that this process holds was lost. It is recorded anew. */
  const isLost = async (id: string, ownerId: string): Promise<boolean> => {
    const session = held.get(id);
    if (session?.owner !== ownerId || session.isEnding) return false;
    const isHeld = await keep(session);
    // Its end, which finds out, closes what was connected by it.
    if (!isHeld) held.forget(session);
    return isHeld;
  };

  const fence = createSessionFence({
    membership,
    timeoutMs: options.timeoutMs,
    send: (proof) => requests.prove(proof),
    isRecorded: () => recordedAs === currentName(),
    record: reclaim,
    onProblem,
  });

  return {
    survive: true,
    isHeld(id) {
      const session = held.get(id);
      if (session === undefined || session.isReleased) return false;
      const leftMs = session.startsMs - performance.now();
      const isCertain = leftMs > 0 ? sleep(leftMs).then(() => fence.check()) : fence.check();
      return isCertain === true || isCertain.then(() => held.has(session) && !session.isReleased);
    },
    async begin(record) {
      const session = held.begin(record);
      try {
        await keep(session);
      } catch (error) {
        held.forget(session);
        // Nobody knows it, but it may be recorded.
        adoption.doubt();
        throw error;
      }
    },
    async take(id, ownerId) {
      try {
        for (;;) {
          if (closed) throw unavailable(undefined);
          const sight = sightNow();
          const found = await commands.find(id);
          if (found === undefined && (await isLost(id, ownerId))) continue;
          if (found?.owner !== ownerId) return undefined;
          const { holder, changes } = found;
          let startsMs = -Infinity;
          if (processOf(holder) !== process)
            startsMs = await requests.release(id, processOf(holder));
          const known = held.get(id);
          const taken = await commands.take(membership.id, id, changes);
          if (taken === "gone") return undefined;
          if (taken === "no member") await membership.ready();
          if (typeof taken === "string") continue;
          const { connectionId, isBound } = taken;
          if (known?.changes === changes && held.get(id) === known) {
            known.changes = taken.changes;
            known.isAdopted = false;
            known.isReleased = false;
            known.seen = sight;
            return { connectionId, isBound, leases: undefined };
          }
          held.add(taken, false, sight, startsMs);
          return { connectionId, isBound, leases: leasesOf(taken) };
        }
      } catch (error) {
        adoption.doubt();
        throw error;
      }
    },
    async end(id) {
      const session = held.get(id);
      for (;;) {
        if (session === undefined || !held.has(session)) return false;
        if (closed) throw unavailable(undefined);
        session.isEnding = true;
        const outcome = await commands.end(membership.id, id, tombstoneMs);
        if (outcome === "no member") await membership.ready();
        else if (outcome === "missing" && (await keep(session))) continue;
        else {
          held.forget(session);
          if (outcome !== "ended") return false;
          for (const [lease, { payload }] of session.leases) onLease({ id: lease, payload });
          return true;
        }
      }
    },
    async bind({ id, connectionId }) {
      const session = held.get(id);
      if (session !== undefined) session.isBound = true;
      for (;;) {
        if (await commands.bind({ id, connectionId })) return true;
        if (session === undefined || !held.has(session) || session.isEnding) return false;
        // Under a new member id, or after Redis lost its data, the session is recorded again.
        if (!(await reclaim())) return false;
      }
    },
    connected: (connections) => commands.connected(connections),
    serve(next) {
      if (owner !== undefined) throw new Error("This process already takes part in the sessions.");
      owner = next;
    },
    async hold(sessionId, { id, payload }) {
      const session = held.get(sessionId);
      if (session === undefined) throw new HeldElsewhere();
      const lease = held.hold(session, id, payload);
      for (;;) {
        if (!held.has(session)) throw new HeldElsewhere();
        // Released while it was recorded.
        if (session.leases.get(id) !== lease) return;
        const { id: member } = membership;
        const outcome = await commands.hold(member, sessionId, id, payload);
        if (outcome === "held") return void (lease.isRecorded = true);
        if (outcome === "no member") await membership.ready();
        else if (outcome === "missing" ? await keepOrLose(session) : await reclaim()) continue;
        else {
          held.release(session, id);
          throw new HeldElsewhere();
        }
      }
    },
    async detach(id) {
      for (;;) {
        const session = held.ofLease(id);
        // That of a session that has ended here is this process's; that of one it lost is not.
        if (session === undefined) return isOwn(id);
        const { payload = "" } = session.leases.get(id) ?? {};
        const outcome = await commands.detach(membership.id, session.id, id, payload);
        if (outcome === "no member") await membership.ready();
        else if (outcome === "missing") await keepOrLose(session);
        else if (outcome === "detached") {
          held.release(session, id);
          onLease({ id, payload });
          return true;
        } else if (!(await reclaim())) {
          // The end of the session may have been faster.
          held.release(session, id);
          return isOwn(id);
        }
      }
    },
    release(id) {
      const session = held.ofLease(id);
      if (session === undefined) return undefined;
      held.release(session, id);
      return commands.release(session.id, id);
    },
    receive: (message) => requests.receive(message),
    doubt() {
      // A session may have been taken up at another process.
      fence.doubt();
      if (recordedAs === "" || closed) return;
      recordedAs = IN_DOUBT;
      doubts++;
      void recordAnew();
    },
    review() {
      reviewState();
      if (closed || owner === undefined || !replica.state.members.has(membership.id)) return;
      adoption.review();
    },
    close() {
      closed = true;
      requests.close();
    },
  };
}
