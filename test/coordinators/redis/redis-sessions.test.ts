import { afterAll, beforeAll, expect, it } from "vitest";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { collectOrphans } from "../suite/fleet.ts";
import { holdFor, idsOfLeases, newSession, own } from "../suite/sessions.ts";
import { type FleetProcess, redisFleets, untilLapsed } from "./redis-fleet.ts";

/** Short enough for tests to wait until it ends. */
const LEASE = 500;

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis.dispose());

describeWithRedis("sessions of a fleet", () => {
  const fleets = redisFleets(() => redis);
  const joinTwo = async (registryTimeoutMs?: number) => {
    const fleet = fleets({ registryTimeoutMs });
    return [await fleet.join(), await fleet.join()] as const;
  };
  /** Makes the next run of a script fail after it has taken effect. */
  const loseReply = ({ servers }: FleetProcess, name: string) => {
    const run = servers.run.bind(servers);
    servers.run = async (tag, script, ...rest) => {
      const reply = await run(tag, script, ...rest);
      if (script.name !== name) return reply;
      servers.run = run;
      throw new Error("The reply was lost.");
    };
  };

  /** The keys about sessions that do not expire. */
  const keysLeft = async (tag: string) => {
    const keys = (await redis.command("KEYS", `${tag}:*`)) as string[];
    const found = keys.filter((key) => /:(session|held|holders)/.test(key));
    const lasting = await Promise.all(found.map((key) => redis.command("PTTL", key)));
    return found.filter((_, i) => Number(lasting[i]) === -1);
  };

  it("are taken up at once from a process that was killed", async () => {
    const [a, b] = await joinTwo(60_000);
    own(a.sessions);
    own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    a.kill();
    const beganMs = performance.now();
    const taken = await b.sessions.take(session.id, "ann");
    expect(performance.now() - beganMs).toBeLessThan(900);
    expect(idsOfLeases(taken?.leases)).toEqual(["kept"]);
  });

  it("start calls only when the process that was killed could not have started any more", async () => {
    const [a, b] = await joinTwo(60_000);
    own(a.sessions);
    own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    a.kill();
    const beganMs = performance.now();
    await b.sessions.take(session.id, "ann");
    expect(await b.sessions.isHeld(session.id)).toBe(true);
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(990);
  });

  it("start no calls at a process that is out of touch", async () => {
    const [a, b] = await joinTwo(LEASE);
    own(a.sessions);
    const ofB = own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    expect(await a.sessions.isHeld(session.id)).toBe(true);
    const goOn = a.holdBack("heartbeat", "append");
    await ofB.untilAdopted(session.id);
    const isHeld = a.sessions.isHeld(session.id);
    await b.sessions.take(session.id, "ann");
    goOn();
    expect(await isHeld).toBe(false);
  });

  it("are taken up from a process that does not release them within a second", async () => {
    const [a, b] = await joinTwo(60_000);
    a.sessions.serve({
      release: () => new Promise(() => {}),
      adopt: () => {},
      onRecordedAnew: () => {},
    });
    own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    const beganMs = performance.now();
    expect(await b.sessions.take(session.id, "ann")).toBeDefined();
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(990);
    expect(await a.sessions.end(session.id)).toBe(false);
  });

  it("are adopted from a process that was killed, and become orphans only after their end", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    own(a.sessions);
    const ofB = own(b.sessions);
    const orphans = collectOrphans(b.leases);
    const sessions = Array.from({ length: 120 }, () => newSession());
    await Promise.all(sessions.map((each) => a.sessions.begin(each)));
    const [session] = sessions as [ReturnType<typeof newSession>];
    await holdFor(a, session, "kept");
    a.kill();
    await Promise.all(sessions.map(({ id }) => ofB.untilAdopted(id)));
    expect(idsOfLeases(ofB.adopted.get(session.id))).toEqual(["kept"]);
    await b.ready();
    expect(orphans.ids()).toEqual([]);
    for (const { id } of sessions) expect(await b.sessions.end(id)).toBe(true);
    b.kill();
    const c = await fleet.join();
    const ofC = collectOrphans(c.leases);
    await ofC.until(1);
    expect(ofC.ids()).toEqual(["kept"]);
  });

  it("are adopted by a process that starts after all others were killed", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const a = await fleet.join();
    own(a.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    a.kill();
    const b = await fleet.join();
    const ofB = own(b.sessions);
    const taken = await b.sessions.take(session.id, "ann");
    if (taken?.leases === undefined) await ofB.untilAdopted(session.id);
    else expect(idsOfLeases(taken.leases)).toEqual(["kept"]);
    expect(await b.sessions.end(session.id)).toBe(true);
  });

  it("stay with a process that was out of touch, although others had adopted them", async () => {
    const [a, b] = await joinTwo(LEASE);
    const ofA = own(a.sessions);
    const ofB = own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    const goOn = a.holdBack("heartbeat", "append");
    await ofB.untilAdopted(session.id);
    goOn();
    await a.ready();
    await holdFor(a, session, "later");
    expect(await b.sessions.end(session.id)).toBe(false);
    const taken = await b.sessions.take(session.id, "ann");
    expect(idsOfLeases(taken?.leases)).toEqual(["kept", "later"]);
    expect(ofA.released).toEqual([session.id]);
  });

  it("are released by a process that was out of touch while they were taken up at another", async () => {
    const [a, b] = await joinTwo(LEASE);
    const ofA = own(a.sessions);
    own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    const goOn = a.holdBack("heartbeat", "append");
    await untilLapsed(a);
    // Messages are lost, too.
    await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
    await b.sessions.take(session.id, "ann");
    goOn();
    await ofA.untilReleased(session.id);
    expect(await a.sessions.end(session.id)).toBe(false);
    expect(await b.sessions.end(session.id)).toBe(true);
  });

  it("are recorded again after Redis has lost all data", async () => {
    const [a, b] = await joinTwo(LEASE);
    const ofA = own(a.sessions);
    own(b.sessions);
    // There are no sessions yet.
    await redis.restart();
    await Promise.all([a.ready(), b.ready()]);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    await a.sessions.bind(session);
    await redis.restart();
    await Promise.all([a.ready(), b.ready()]);
    await holdFor(a, session, "later");
    const taken = await b.sessions.take(session.id, "ann");
    expect(idsOfLeases(taken?.leases)).toEqual(["kept", "later"]);
    // With what is bound to its connection.
    expect(taken).toMatchObject({ isBound: true });
    const connections = [session.connectionId];
    expect(await b.sessions.connected(connections)).toEqual(new Set(connections));
    // Once more, when it still records its sessions then.
    expect(new Set(ofA.released)).toEqual(new Set([session.id]));
  });

  it("have no connections when a restored copy lacks them, whatever it has of others", async () => {
    const fleet = fleets();
    const { sessions } = await fleet.join();
    own(sessions);
    const [kept, lost] = [newSession(), newSession()];
    for (const each of [kept, lost]) {
      await sessions.begin(each);
      await sessions.bind(each);
    }
    await redis.command("DEL", `${fleet.tag}:session:${lost.id}`);
    const connections = [lost.connectionId, "unknown", kept.connectionId];
    expect(await sessions.connected(connections)).toEqual(new Set([kept.connectionId]));
  });

  it("are held by their new process when the reply to the take-up is lost", async () => {
    const [a, b] = await joinTwo(LEASE);
    own(a.sessions);
    const ofB = own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    loseReply(b, "session-take");
    await expect(b.sessions.take(session.id, "ann")).rejects.toThrow("The reply was lost.");
    await ofB.untilAdopted(session.id);
    expect(idsOfLeases(ofB.adopted.get(session.id))).toEqual(["kept"]);
    expect(await b.sessions.end(session.id)).toBe(true);
  });

  it("have ended at their process when the reply to the end is lost", async () => {
    const [a] = await joinTwo(LEASE);
    own(a.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    loseReply(a, "session-end");
    await expect(a.sessions.end(session.id)).rejects.toThrow("The reply was lost.");
    expect(await a.sessions.end(session.id)).toBe(true);
    await a.leases.release("kept");
  });

  it("keep their leaves from a process that they were taken from, also after they have ended", async () => {
    const [a, b] = await joinTwo();
    own(a.sessions);
    own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    for (const id of ["late", "released"]) await holdFor(a, session, id);
    await b.sessions.take(session.id, "ann");
    expect(await b.leases.detach("released")).toBe(true);
    await b.leases.release("released");
    expect(await a.leases.detach("released")).toBe(false);
    expect(await b.sessions.end(session.id)).toBe(true);
    await b.leases.release("late");
    expect(await a.leases.detach("late")).toBe(false);
  });

  it("are over for a process that was out of touch while they were taken up and ended", async () => {
    const [a, b] = await joinTwo(LEASE);
    const ofA = own(a.sessions);
    const ofB = own(b.sessions);
    const orphans = collectOrphans(b.leases);
    const session = newSession();
    const other = newSession();
    for (const each of [session, other]) await a.sessions.begin(each);
    await holdFor(a, session, "kept");
    const goOn = a.holdBack("heartbeat", "append");
    await ofB.untilAdopted(other.id);
    await b.sessions.take(session.id, "ann");
    expect(await b.sessions.end(session.id)).toBe(true);
    await b.leases.release("kept");
    goOn();
    await ofA.untilReleased(session.id);
    expect(await a.leases.detach("kept")).toBe(false);
    expect(await a.sessions.end(session.id)).toBe(false);
    expect(await a.sessions.take(session.id, "ann")).toBeUndefined();
    expect(orphans.ids()).toEqual([]);
  });

  it("end at one process only when the first attempt at the other one did not reach Redis", async () => {
    const [a, b] = await joinTwo();
    own(a.sessions);
    own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    const run = a.servers.run.bind(a.servers);
    a.servers.run = async () => {
      a.servers.run = run;
      throw new Error("Redis cannot be reached.");
    };
    await expect(a.sessions.end(session.id)).rejects.toThrow("Redis cannot be reached.");
    await b.sessions.take(session.id, "ann");
    expect(await b.sessions.end(session.id)).toBe(true);
    expect(await a.sessions.end(session.id)).toBe(false);
    expect(await a.leases.detach("kept")).toBe(false);
    expect(await b.leases.detach("kept")).toBe(true);
  });

  it("keep their leaves from a process that has found out that it lost them", async () => {
    const [a, b] = await joinTwo();
    const ofA = own(a.sessions);
    own(b.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "kept");
    await b.sessions.take(session.id, "ann");
    const released = ofA.released.length;
    await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
    await ofA.until(() => ofA.released.length > released);
    expect(await a.leases.detach("kept")).toBe(false);
    expect(await b.leases.detach("kept")).toBe(true);
  });

  it("are recorded again when only their records were lost", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    own(a.sessions);
    own(b.sessions);
    const lose = async ({ id }: { readonly id: string }) =>
      redis.command("DEL", `${fleet.tag}:session:${id}`);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "one");
    await lose(session);
    await holdFor(a, session, "two");
    expect(idsOfLeases((await b.sessions.take(session.id, "ann"))?.leases)).toEqual(["one", "two"]);
    await lose(session);
    expect(await b.sessions.take(session.id, "ann")).toBeDefined();
    await lose(session);
    expect(await b.leases.detach("one")).toBe(true);
    await lose(session);
    expect(await b.sessions.end(session.id)).toBe(true);
    expect(await b.leases.detach("two")).toBe(true);
  });

  it("leave the leases to their process when Redis has lost all data, or the reply to a detachment", async () => {
    const [a] = await joinTwo(LEASE);
    own(a.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    for (const id of ["one", "two"]) await holdFor(a, session, id);
    loseReply(a, "session-detach");
    await expect(a.leases.detach("one")).rejects.toThrow("The reply was lost.");
    expect(await a.leases.detach("one")).toBe(true);
    await redis.restart();
    expect(await a.leases.detach("two")).toBe(true);
  });

  it("stay over when they end while they are recorded again", async () => {
    const fleet = fleets();
    const a = await fleet.join();
    own(a.sessions);
    const session = newSession();
    await a.sessions.begin(session);
    await holdFor(a, session, "one");
    const run = a.servers.run.bind(a.servers);
    let goOn = () => {};
    let recorded = () => {};
    const wasRecorded = new Promise<void>((resolve) => (recorded = resolve));
    const kept = new Promise<void>((resolve) => {
      a.servers.run = async (tag, script, ...rest) => {
        if (script.name !== "session-keep") return run(tag, script, ...rest);
        resolve();
        await new Promise<void>((go) => (goOn = go));
        const reply = await run(tag, script, ...rest);
        recorded();
        return reply;
      };
    });
    await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
    await kept;
    expect(await a.sessions.end(session.id)).toBe(true);
    await a.leases.release("one");
    goOn();
    await wasRecorded;
    await expect.poll(async () => keysLeft(fleet.tag)).toEqual([]);
  });

  it("leave no keys behind when they have ended, except for a while", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    own(a.sessions);
    own(b.sessions);
    const sessions = [newSession(), newSession()] as const;
    for (const each of sessions) {
      await a.sessions.begin(each);
      await holdFor(a, each, each.id);
    }
    await b.sessions.take(sessions[0].id, "ann");
    for (const { id } of sessions) {
      await a.sessions.end(id);
      await b.sessions.end(id);
    }
    await a.leases.release(sessions[1].id);
    await b.leases.release(sessions[0].id);
    expect(await keysLeft(fleet.tag)).toEqual([]);
  });
});
