import { afterAll, beforeAll, expect, it } from "vitest";
import type { SessionRecord } from "../../../src/core/coordinator.ts";
import { random } from "../../support/random.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { newSession } from "../suite/sessions.ts";
import { type FleetProcess, redisFleets, untilLapsed } from "./redis-fleet.ts";

/** Short enough for a run to have one process lose touch. */
const LEASE_MS = 500;
const STEPS = 60;
const SCRIPTS = ["session-keep", "session-take", "session-end", "session-hold", "session-detach"];

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis.dispose());

/** What the service does with the sessions of one process. */
class Member {
  readonly process: FleetProcess;
  /** Subscriptions that it has, by session: their leaves are to be delivered when they end. */
  readonly subscriptions = new Map<string, Set<string>>();
  /** Sessions that are over here, and whether their leaves are this process's. */
  readonly over = new Map<string, boolean>();
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(process: FleetProcess, delivered: (lease: string) => void) {
    this.process = process;
    process.sessions.serve({
      release: async () => {},
      adopt: ({ id }, leases) => this.#have(id, leases),
      onRecordedAnew: () => {},
    });
    process.leases.onOrphan(({ id }) => {
      delivered(id);
      void process.leases.release(id).catch(() => {});
    });
  }

  /** One step about a session at a time, as its sockets do it. */
  async inTurn<T>(session: string, work: () => Promise<T>): Promise<T> {
    const done = (this.#turns.get(session) ?? Promise.resolve()).then(work, work);
    this.#turns.set(session, done);
    return done;
  }

  /** @returns Whether the session was taken up. */
  async take({ id, owner }: SessionRecord): Promise<boolean> {
    const taken = await this.process.sessions.take(id, owner);
    if (taken !== undefined) this.over.delete(id);
    if (taken?.leases !== undefined) this.#have(id, taken.leases);
    return taken !== undefined;
  }

  of(session: string): Set<string> {
    let all = this.subscriptions.get(session);
    if (all === undefined) this.subscriptions.set(session, (all = new Set()));
    return all;
  }

  #have(session: string, leases: readonly { readonly id: string }[]): void {
    this.over.delete(session);
    this.subscriptions.set(session, new Set(leases.map(({ id }) => id)));
  }
}

describeWithRedis("sessions of a fleet whose commands and replies are delayed and lost", () => {
  const fleets = redisFleets(() => redis);

  it.each(Array.from({ length: 12 }, (_, n) => n + 1))(
    "end once, are never taken up again, and have one leave for each subscription (seed %i)",
    async (seed) => {
      const { below, chance, pick } = random(seed);
      const fleet = fleets({ registryTimeoutMs: LEASE_MS });
      /** Number of leaves of each subscription that was recorded. */
      const leaves = new Map<string, number>();
      /** Those whose command had an unknown outcome: they may leave twice, rather than never. */
      const doubtful = new Set<string>();
      const count = (lease: string) => void leaves.set(lease, (leaves.get(lease) ?? 0) + 1);
      const members: Member[] = [];
      for (let n = 0; n < 3; n++) members.push(new Member(await fleet.join(), count));

      const sessions: SessionRecord[] = [];
      const ends = new Map<string, number>();
      const problems: string[] = [];
      let leaseCount = 0;
      /** Ends a subscription at a process. */
      const leave = async (member: Member, session: string, lease: string) => {
        if (!member.of(session).delete(lease)) return;
        try {
          if (!(await member.process.leases.detach(lease))) return;
        } catch {
          doubtful.add(lease);
        }
        count(lease);
        await member.process.leases.release(lease).catch(() => {});
      };
      const end = async (member: Member, { id }: SessionRecord) =>
        member.inTurn(id, async () => {
          // The service tries again until it knows.
          for (let tries = 0; tries < 3; tries++) {
            try {
              const isOurs = await member.process.sessions.end(id);
              member.over.set(id, isOurs);
              if (isOurs) ends.set(id, (ends.get(id) ?? 0) + 1);
              const all = Array.from(member.of(id));
              if (isOurs) await Promise.all(all.map((lease) => leave(member, id, lease)));
              else member.subscriptions.delete(id);
              return;
            } catch {
              // Its reply, or the command, was lost.
            }
          }
        });
      const take = async (member: Member, session: SessionRecord) =>
        member.inTurn(session.id, async () => {
          const hadEnded = (ends.get(session.id) ?? 0) > 0;
          const isTaken = await member.take(session).catch(() => false);
          if (isTaken && hadEnded) problems.push("A session was taken up after its end.");
        });
      const hold = async (member: Member, { id: session }: SessionRecord) => {
        const lease = `lease-${++leaseCount}`;
        const payload = JSON.stringify({ lease });
        try {
          await member.process.leases.hold({ id: lease, payload, session });
          if (!leaves.has(lease)) leaves.set(lease, 0);
          if (member.over.get(session) === false) return;
          member.of(session).add(lease);
          if (member.over.has(session)) await leave(member, session, lease);
        } catch {
          doubtful.add(lease);
        }
      };
      /** Makes the next run of a script fail, before or after it takes effect. */
      const fail = ({ process: { servers } }: Member, name: string, isAfter: boolean) => {
        const run = servers.run.bind(servers);
        servers.run = async (tag, script, ...rest) => {
          if (script.name !== name) return run(tag, script, ...rest);
          servers.run = run;
          if (isAfter) await run(tag, script, ...rest);
          throw new Error("The connection was lost.");
        };
      };

      const underWay: Promise<unknown>[] = [];
      const opens: (() => void)[] = [];
      const lapsing = pick(members);
      const lapseAt = below(STEPS);
      for (let step = 0; step < STEPS; step++) {
        const member = pick(members);
        if (sessions.length === 0 || chance(0.08)) {
          const session = newSession();
          const { process } = member;
          const began = process.sessions.begin(session).then(() => void sessions.push(session));
          underWay.push(began.catch(() => {}));
          if (sessions.length === 0) await began;
        }
        const session = pick(sessions);
        const action = below(10);
        if (action < 3) underWay.push(hold(member, session));
        else if (action < 5) underWay.push(take(member, session));
        else if (action < 6) underWay.push(end(member, session));
        else if (action < 8) {
          const [lease] = member.of(session.id);
          if (lease !== undefined) underWay.push(leave(member, session.id, lease));
        } else if (action < 9) opens.push(member.process.holdBack(pick(SCRIPTS)));
        else if (below(2) === 0) opens.push(member.process.holdRepliesBack(pick(SCRIPTS)));
        else if (chance(0.5)) fail(member, pick(SCRIPTS), chance(0.5));
        else await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
        if (step === lapseAt) {
          opens.push(lapsing.process.holdBack("heartbeat", "append"));
          await untilLapsed(lapsing.process);
        }
        if (chance(0.5)) opens.splice(below(opens.length), 1)[0]?.();
        if (chance(0.7)) await new Promise((resolve) => setImmediate(resolve));
      }
      for (const open of opens) open();
      await Promise.all(underWay);
      // Sockets are gone, and sessions expire.
      await expect
        .poll(
          async () => {
            for (const { process } of members) await process.ready();
            await Promise.all(
              members.flatMap((member) => sessions.map((session) => end(member, session))),
            );
            const missing = Array.from(leaves, ([lease, n]) => (n === 0 ? lease : ""));
            return [
              ...sessions.filter(({ id }) => !ends.has(id)).map(({ id }) => id),
              ...missing.filter((lease) => lease !== ""),
            ];
          },
          { timeout: 10_000, interval: 50 },
        )
        .toEqual([]);
      expect(problems).toEqual([]);
      expect(Array.from(ends).filter(([, n]) => n !== 1)).toEqual([]);
      const twice = Array.from(leaves).filter(([lease, n]) => n > 1 && !doubtful.has(lease));
      expect(twice).toEqual([]);
    },
    30_000,
  );
});
