import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type {
  Coordinator,
  SessionRecord,
  Sessions,
  SubscriptionLease,
} from "../../../src/core/coordinator.ts";
import type { OpenFleet } from "./fleet.ts";
import { collectOrphans, fleetsOf } from "./fleet.ts";

/** A new session. */
export function newSession(owner = "ann"): SessionRecord {
  return { id: randomUUID(), owner, connectionId: randomUUID() };
}

/** Takes part in the sessions of a fleet. */
export function own(sessions: Sessions, release: (id: string) => void = () => {}) {
  const adopted = new Map<string, readonly SubscriptionLease[]>();
  const released: string[] = [];
  const waiters: (() => void)[] = [];
  const wake = () => {
    for (const waiter of waiters.splice(0)) waiter();
  };
  sessions.serve({
    async release(id) {
      released.push(id);
      release(id);
      wake();
    },
    adopt({ id }, leases) {
      adopted.set(id, leases);
      wake();
    },
    onRecordedAnew: () => {},
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise<void>((resolve) => waiters.push(resolve));
  };
  return {
    adopted,
    released,
    /** Resolves when the condition holds, which is checked after each adoption and release. */
    until,
    /** Resolves when a session has been adopted. */
    untilAdopted: async (id: string) => until(() => adopted.has(id)),
    /** Resolves when the release of a session was requested. */
    untilReleased: async (id: string) => until(() => released.includes(id)),
  };
}

/** Holds the lease of a subscription of a session. */
export async function holdFor({ leases }: Coordinator, { id: session }: SessionRecord, id: string) {
  await leases.hold({ id, payload: JSON.stringify({ id }), session });
}

/** Ids of leases, sorted. */
export function idsOfLeases(leases: readonly SubscriptionLease[] | undefined): string[] {
  return (leases ?? []).map(({ id }) => id).toSorted();
}

/** The sessions of one process. */
export function describeSessions(open: OpenFleet): void {
  const fleets = fleetsOf(open);
  const join = async () => fleets().join();

  describe("sessions", () => {
    it("can be taken up again and again by their owner until they have ended", async () => {
      const { sessions } = await join();
      own(sessions);
      const session = newSession();
      await sessions.begin(session);
      for (let n = 0; n < 3; n++) {
        const taken = await sessions.take(session.id, "ann");
        expect(taken).toMatchObject({ connectionId: session.connectionId, leases: undefined });
      }
      expect(await sessions.end(session.id)).toBe(true);
      expect(await sessions.take(session.id, "ann")).toBeUndefined();
      expect(await sessions.end(session.id)).toBe(false);
    });

    it("cannot be taken up by another owner, or when there is none", async () => {
      const { sessions } = await join();
      const { released } = own(sessions);
      const session = newSession();
      await sessions.begin(session);
      expect(await sessions.take(session.id, "bob")).toBeUndefined();
      expect(await sessions.take(randomUUID(), "ann")).toBeUndefined();
      expect(released).toEqual([]);
      expect(await sessions.end(session.id)).toBe(true);
    });

    it("may have leases, which can be released before and after their end", async () => {
      const process = await join();
      const { sessions, leases } = process;
      own(sessions);
      const session = newSession();
      await sessions.begin(session);
      const orphans = collectOrphans(leases);
      for (const id of ["one", "two"]) await holdFor(process, session, id);
      expect(await leases.detach("one")).toBe(true);
      await leases.release("one");
      expect(await sessions.end(session.id)).toBe(true);
      await leases.release("two");
      expect(orphans.ids()).toEqual([]);
    });

    it("keep their connections, once items are bound to them, until they end", async () => {
      const { sessions } = await join();
      own(sessions);
      const [session, other] = [newSession(), newSession()];
      for (const each of [session, other]) {
        await sessions.begin(each);
        expect(await sessions.bind(each)).toBe(true);
      }
      const { connectionId } = session;
      const all = [connectionId, other.connectionId, "unknown"];
      expect(await sessions.connected(all)).toEqual(new Set(all.slice(0, 2)));
      expect(await sessions.connected([])).toEqual(new Set());
      await sessions.take(session.id, "ann");
      expect(await sessions.connected([connectionId])).toEqual(new Set([connectionId]));
      await sessions.end(session.id);
      expect(await sessions.connected(all)).toEqual(new Set([other.connectionId]));
      expect(await sessions.bind(session)).toBe(false);
      expect(await sessions.connected([connectionId])).toEqual(new Set());
    });
  });
}

/** The sessions of two processes. */
export function describeSessionsOfTwo(open: OpenFleet): void {
  const fleets = fleetsOf(open);
  const joinTwo = async () => {
    const fleet = fleets();
    return [await fleet.join(), await fleet.join()] as const;
  };

  describe("sessions of two processes", () => {
    it("are taken up with the fact that items are bound to their connections", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      own(b.sessions);
      const [session, plain] = [newSession(), newSession()];
      for (const each of [session, plain]) await a.sessions.begin(each);
      await a.sessions.bind(session);
      expect(await b.sessions.take(plain.id, "ann")).toMatchObject({ isBound: false });
      expect(await b.sessions.take(session.id, "ann")).toMatchObject({ isBound: true });
      const connections = [session.connectionId];
      for (const each of [a, b])
        expect(await each.sessions.connected(connections)).toEqual(new Set(connections));
      // A late write at the process that had it.
      expect(await a.sessions.bind(session)).toBe(true);
      await b.sessions.end(session.id);
      expect(await a.sessions.bind(session)).toBe(false);
    });

    it("are released by the process that holds them before they are taken up at the other", async () => {
      const [a, b] = await joinTwo();
      const story: string[] = [];
      own(a.sessions, () => story.push("released"));
      own(b.sessions);
      const session = newSession();
      await a.sessions.begin(session);
      for (const id of ["one", "two", "gone"]) await holdFor(a, session, id);
      await a.leases.release("gone");
      const taken = await b.sessions.take(session.id, "ann");
      story.push("taken");
      expect(story).toEqual(["released", "taken"]);
      expect(taken?.connectionId).toBe(session.connectionId);
      const lease = (id: string) => ({ id, payload: JSON.stringify({ id }), session: session.id });
      const byId = (x: SubscriptionLease, y: SubscriptionLease) => (x.id < y.id ? -1 : 1);
      expect(taken?.leases?.toSorted(byId)).toEqual([lease("one"), lease("two")]);
      expect(await a.sessions.end(session.id)).toBe(false);
      expect(await b.sessions.end(session.id)).toBe(true);
    });

    it("go back and forth with the leases that they have then", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      own(b.sessions);
      const session = newSession();
      await a.sessions.begin(session);
      await holdFor(a, session, "one");
      await b.sessions.take(session.id, "ann");
      await holdFor(b, session, "two");
      await b.leases.release("one");
      const back = await a.sessions.take(session.id, "ann");
      expect(idsOfLeases(back?.leases)).toEqual(["two"]);
      await holdFor(a, session, "three");
      const again = await a.sessions.take(session.id, "ann");
      expect(again?.leases).toBeUndefined();
      const forth = await b.sessions.take(session.id, "ann");
      expect(idsOfLeases(forth?.leases)).toEqual(["three", "two"]);
    });

    it("start calls only at the process that holds them", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      own(b.sessions);
      const session = newSession();
      await a.sessions.begin(session);
      expect(await a.sessions.isHeld(session.id)).toBe(true);
      expect(await a.sessions.isHeld(session.id)).toBe(true);
      await b.sessions.take(session.id, "ann");
      expect(await a.sessions.isHeld(session.id)).toBe(false);
      expect(await b.sessions.isHeld(session.id)).toBe(true);
      await a.sessions.take(session.id, "ann");
      expect(await a.sessions.isHeld(session.id)).toBe(true);
      expect(await b.sessions.isHeld(session.id)).toBe(false);
    });

    it("take no more leases at a process that they were taken from", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      own(b.sessions);
      const session = newSession();
      await a.sessions.begin(session);
      await b.sessions.take(session.id, "ann");
      await expect(holdFor(a, session, "late")).rejects.toMatchObject({
        reason: "STORE_UNAVAILABLE",
      });
    });

    it("go without the leases that were detached, which become orphans when their process is gone", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      own(b.sessions);
      const orphans = collectOrphans(b.leases);
      const session = newSession();
      await a.sessions.begin(session);
      for (const id of ["left", "kept"]) await holdFor(a, session, id);
      expect(await a.leases.detach("left")).toBe(true);
      const taken = await b.sessions.take(session.id, "ann");
      expect(idsOfLeases(taken?.leases)).toEqual(["kept"]);
      // The leave of this one is for the process that has the session.
      expect(await a.leases.detach("kept")).toBe(false);
      await a.leases.release("kept");
      await a.close();
      await orphans.until(1);
      expect(orphans.ids()).toEqual(["left"]);
      const back = await b.sessions.take(session.id, "ann");
      expect(back).toBeDefined();
      expect(await b.leases.detach("kept")).toBe(true);
    });

    it("are either taken up or ended when both are tried at the same time", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      own(b.sessions);
      for (let n = 0; n < 30; n++) {
        const session = newSession();
        await a.sessions.begin(session);
        const [hasEnded, taken] = await Promise.all([
          a.sessions.end(session.id),
          b.sessions.take(session.id, "ann"),
        ]);
        expect(hasEnded).toBe(taken === undefined);
        expect(await b.sessions.end(session.id)).toBe(!hasEnded);
      }
    });

    it("are held by exactly one process after both have taken them up at the same time", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      own(b.sessions);
      for (let n = 0; n < 10; n++) {
        const session = newSession();
        await a.sessions.begin(session);
        await Promise.all([a, b].map(({ sessions }) => sessions.take(session.id, "ann")));
        const ended = await Promise.all([a, b].map(({ sessions }) => sessions.end(session.id)));
        expect(ended.filter((each) => each)).toHaveLength(1);
      }
    });

    it("are adopted with their leases when their process has closed, and are no orphans until they end", async () => {
      const [a, b] = await joinTwo();
      own(a.sessions);
      const ofB = own(b.sessions);
      const orphans = collectOrphans(b.leases);
      const [session, ended] = [newSession(), newSession()];
      for (const each of [session, ended]) await a.sessions.begin(each);
      await holdFor(a, session, "kept");
      await holdFor(a, ended, "orphan");
      await a.sessions.end(ended.id);
      await a.close();
      await Promise.all([ofB.untilAdopted(session.id), orphans.until(1)]);
      expect(ofB.adopted.has(ended.id)).toBe(false);
      expect(idsOfLeases(ofB.adopted.get(session.id))).toEqual(["kept"]);
      expect(orphans.ids()).toEqual(["orphan"]);
      const taken = await b.sessions.take(session.id, "ann");
      expect(taken).toMatchObject({ connectionId: session.connectionId, leases: undefined });
      expect(await b.sessions.end(session.id)).toBe(true);
      await b.leases.release("kept");
      expect(orphans.ids()).toEqual(["orphan"]);
    });
  });
}
