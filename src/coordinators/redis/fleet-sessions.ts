import { randomUUID } from "node:crypto";
import type {
  SessionOwner,
  SessionRecord,
  Sessions,
  SubscriptionLease,
} from "../../core/coordinator.ts";
import { HeldElsewhere } from "../../core/held-elsewhere.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import { waitAtMost } from "../../timers/timers.ts";
import { type FleetKeys, processOf } from "./fleet-keys.ts";
import type { FleetCommands } from "./fleet-commands.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
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
  /** Called with a lease that is of no session any more, and recorded for this process. */
  readonly onLease: (lease: SubscriptionLease) => void;
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

/** A session that this process holds, as far as it knows. */
interface Held extends SessionRecord {
  changes: number;
  isAdopted: boolean;
  /** Whether items may be bound to its connection. */
  isBound: boolean;
  readonly leases: Map<string, string>;
  /** Whether it may have ended although the reply was lost. */
  isEnding: boolean;
}

/**
 * How long another process may take to release a session, in milliseconds. One that is alive but
 * out of touch with Redis delivers nothing after its lease.
 */
const RELEASE_MS = 1000;
/** How many sessions are recorded at once. */
const KEPT_AT_ONCE = 50;

/**
 * Records the sessions of this process in Redis, with their subscriptions, and adopts those of
 * members that are gone.
 */
export function createFleetSessions(options: FleetSessionsOptions): FleetSessions {
  const { process, keys, commands, publish, replica, membership, onLease, onProblem } = options;
  const held = new Map<string, Held>();
  /** Sessions of the subscriptions of this process. */
  const sessionOf = new Map<string, Held>();
  /** Requests to other processes that are not confirmed yet. */
  const requests = new Map<string, () => void>();
  const adopting = new Set<string>();
  let owner: SessionOwner | undefined;
  /** Lineage and member id under which all sessions were last recorded. */
  let recordedAs = "";
  let recording: Promise<void> | undefined;
  /** Whether a session may have become this process's although the reply was lost. */
  let isInDoubt = false;
  let closed = false;

  const forget = (session: Held) => {
    if (held.get(session.id) === session) held.delete(session.id);
    for (const id of session.leases.keys()) if (sessionOf.get(id) === session) sessionOf.delete(id);
  };
  const remember = (stored: StoredSession, isAdopted: boolean) => {
    const before = held.get(stored.id);
    if (before !== undefined) forget(before);
    const { leases, ...rest } = stored;
    const session: Held = { ...rest, isAdopted, isEnding: false, leases: new Map(leases) };
    held.set(session.id, session);
    for (const id of session.leases.keys()) sessionOf.set(id, session);
  };
  const leasesOf = ({ id: session, leases }: StoredSession): SubscriptionLease[] =>
    leases.map(([id, payload]) => ({ id, payload, session }));
  const adoptHere = (adopted: readonly StoredSession[]) => {
    for (const stored of adopted) {
      // A client has taken it up at this process meanwhile.
      if ((held.get(stored.id)?.changes ?? 0) >= stored.changes) continue;
      remember(stored, true);
      owner?.adopt(stored, leasesOf(stored));
    }
  };
  const adopt = async (gone: string) => {
    if (adopting.has(gone) || closed || owner === undefined) return;
    adopting.add(gone);
    try {
      for (;;) {
        const adopted = await commands.adopt(gone, membership.id);
        if (adopted === undefined || closed) return;
        adoptHere(adopted);
      }
    } catch (error) {
      // The next heartbeat tries again, unless the adoption succeeded.
      isInDoubt = true;
      onProblem(error);
    } finally {
      adopting.delete(gone);
    }
  };
  const resolveDoubt = async () => {
    isInDoubt = false;
    try {
      const { id: member } = membership;
      for (const id of await commands.heldBy(member)) {
        if (held.has(id)) continue;
        const stored = await commands.find(id);
        if (stored?.holder === member) adoptHere([stored]);
      }
    } catch (error) {
      isInDoubt = true;
      onProblem(error);
    }
  };
  const adoptAll = async () => {
    try {
      const { members } = replica.state;
      for (const member of await commands.holders())
        if (!members.has(member) && member !== membership.id) void adopt(member);
    } catch (error) {
      // The next heartbeat tries again.
      onProblem(error);
    }
  };

  /** Records a session. @returns false when another process holds it. */
  const keep = async (session: Held): Promise<boolean> => {
    // Retries until this process is a member, and again when its member id has changed.
    while (held.get(session.id) === session) {
      const { id: member } = membership;
      const changes = await commands.keep(member, process, session);
      if (changes === "taken") return false;
      if (changes === "no member") await membership.ready();
      else {
        session.changes = changes;
        if (session.isBound) await commands.bind(session);
        if (member === membership.id) return true;
      }
    }
    return true;
  };
  /** Ends a session again that was recorded after its end. Its leases are those of the member. */
  const endAgain = async ({ id, leases }: Held) => {
    for (const lease of leases.keys()) await commands.release(id, lease);
    await commands.end(membership.id, id);
  };
  const keepOrRelease = async (session: Held) => {
    // One that is ending stays over.
    if (session.isEnding || !held.has(session.id)) return;
    if (await keep(session)) return held.has(session.id) ? undefined : endAgain(session);
    forget(session);
    await owner?.release(session.id);
  };
  const currentName = () => `${replica.position.lineage} ${membership.id}`;
  /** Records all again after this process joined anew, Redis lost its data, or a message was lost. */
  const recordAll = async () => {
    const name = currentName();
    try {
      const all = Array.from(held.values());
      for (let i = 0; i < all.length; i += KEPT_AT_ONCE)
        await Promise.all(all.slice(i, i + KEPT_AT_ONCE).map(keepOrRelease));
      recordedAs = name;
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

  /** Has another process release a session. Resolves when it has, or does not respond. */
  const requestRelease = async (id: string, holder: string) => {
    const request = randomUUID();
    const released = new Promise<void>((resolve) => requests.set(request, resolve));
    try {
      const message = `release ${id} ${process} ${request}`;
      const receivers = await publish(keys.sessionsAt(processOf(holder)), message, true);
      // Without a receiver, the process is gone or out of touch.
      if (receivers > 0) await waitAtMost(RELEASE_MS, released);
    } finally {
      requests.delete(request);
    }
  };
  const release = async (id: string, requester: string, request: string) => {
    try {
      await owner?.release(id);
      await publish(keys.sessionsAt(requester), `released ${request}`, true);
    } catch (error) {
      // It does not wait for long.
      onProblem(error);
    }
  };

  return {
    survive: true,
    async begin(record) {
      const session: Held = {
        ...record,
        ...{ changes: 0, isAdopted: false, isBound: false, isEnding: false, leases: new Map() },
      };
      held.set(record.id, session);
      try {
        await keep(session);
      } catch (error) {
        forget(session);
        // Nobody knows it, but it may be recorded.
        isInDoubt = true;
        throw error;
      }
    },
    async take(id, ownerId) {
      try {
        for (;;) {
          if (closed) throw unavailable(undefined);
          const found = await commands.find(id);
          if (found?.owner !== ownerId) return undefined;
          const { holder, changes } = found;
          if (processOf(holder) !== process) await requestRelease(id, holder);
          const known = held.get(id);
          const taken = await commands.take(membership.id, id, changes);
          if (taken === "gone") return undefined;
          if (taken === "no member") await membership.ready();
          if (typeof taken === "string") continue;
          const { connectionId, isBound } = taken;
          if (known?.changes === changes && held.get(id) === known) {
            known.changes = taken.changes;
            known.isAdopted = false;
            return { connectionId, isBound, leases: undefined };
          }
          remember(taken, false);
          return { connectionId, isBound, leases: leasesOf(taken) };
        }
      } catch (error) {
        isInDoubt = true;
        throw error;
      }
    },
    async end(id) {
      const session = held.get(id);
      for (;;) {
        if (session === undefined || held.get(id) !== session) return false;
        if (closed) throw unavailable(undefined);
        const { isEnding } = session;
        session.isEnding = true;
        const outcome = await commands.end(membership.id, id);
        if (outcome === "no member") {
          session.isEnding = isEnding;
          await membership.ready();
          continue;
        }
        forget(session);
        // When its record is gone, an earlier attempt may have succeeded.
        const isOurs = outcome === "ended" || (outcome === "gone" && isEnding);
        if (isOurs) for (const [lease, payload] of session.leases) onLease({ id: lease, payload });
        return isOurs;
      }
    },
    async bind({ id, connectionId }) {
      const session = held.get(id);
      if (session !== undefined) session.isBound = true;
      for (;;) {
        if (await commands.bind({ id, connectionId })) return true;
        if (session === undefined || held.get(id) !== session || session.isEnding) return false;
        // Under a new member id, or after Redis lost its data, the session is recorded again.
        const name = currentName();
        if (recording === undefined && recordedAs === name) return false;
        await recordAnew();
        if (recordedAs !== name) throw unavailable(undefined);
      }
    },
    connected: (connections) => commands.connected(connections),
    serve(next) {
      if (owner !== undefined) throw new Error("This process already takes part in the sessions.");
      owner = next;
    },
    async hold(sessionId, { id, payload }) {
      const session = held.get(sessionId);
      session?.leases.set(id, payload);
      if (session !== undefined) sessionOf.set(id, session);
      for (;;) {
        if (session === undefined || held.get(sessionId) !== session) throw new HeldElsewhere();
        // Released while it was recorded.
        if (!session.leases.has(id)) return;
        const { id: member } = membership;
        const outcome = await commands.hold(member, sessionId, id, payload);
        if (outcome === "held" && member === membership.id) return;
        if (outcome === "no member") await membership.ready();
        // Under a new member id, it is recorded with its session.
        if (outcome === "taken") {
          if (recording === undefined) throw new HeldElsewhere();
          await recording;
        }
      }
    },
    async detach(id) {
      for (;;) {
        const session = sessionOf.get(id);
        if (session === undefined) return true;
        const { id: member } = membership;
        const outcome = await commands.detach(member, session.id, id);
        if (outcome === "no member") await membership.ready();
        // Under a new member id, or after Redis lost its data, the session is recorded again.
        else if (outcome === "taken" && recording !== undefined) await recording;
        else if (outcome === "taken" && recordedAs !== currentName()) {
          const name = currentName();
          await recordAnew();
          if (recordedAs !== name) throw unavailable(undefined);
        } else if (member === membership.id) {
          const payload = session.leases.get(id) ?? "";
          session.leases.delete(id);
          sessionOf.delete(id);
          if (outcome === "detached") onLease({ id, payload });
          return outcome === "detached";
        }
      }
    },
    release(id) {
      const session = sessionOf.get(id);
      if (session === undefined) return undefined;
      session.leases.delete(id);
      sessionOf.delete(id);
      return commands.release(session.id, id);
    },
    receive(message) {
      const [kind, id = "", requester = "", request = ""] = message.toString().split(" ");
      if (kind === "release") void release(id, requester, request);
      else if (kind === "released") requests.get(id)?.();
    },
    doubt() {
      // A session may have been taken up at another process.
      if (recordedAs !== "" && !closed) void recordAnew();
    },
    review() {
      reviewState();
      if (closed || owner === undefined || !replica.state.members.has(membership.id)) return;
      void adoptAll();
      if (isInDoubt) void resolveDoubt();
    },
    close() {
      closed = true;
      for (const confirm of requests.values()) confirm();
    },
  };
}
