import { afterAll, beforeAll, expect, it } from "vitest";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { redisFleets, untilLapsed } from "./redis-fleet.ts";
import {
  REATTACH,
  contend,
  gateBy,
  collectOrphans,
  idsOf,
  triggerFor,
  until,
} from "../suite/fleet.ts";

/** Short enough for tests to wait until it ends. */
const LEASE = 500;
const GET = "stream::get(orders)";

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis.dispose());

describeWithRedis("a fleet whose Redis fails", () => {
  const fleets = redisFleets(() => redis);

  it("loses its leases while Redis is paused for too long, and recovers when Redis resumes", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE, reattachMs: REATTACH });
    const [a, b] = [await fleet.join(), await fleet.join()];
    await a.registry.provide("f");
    const { id } = await a.registry.bind(triggerFor("f"));
    await b.leases.hold({ id: "held", payload: "1" });
    const orphans = [a, b].map(({ leases }) => collectOrphans(leases));
    const owners = [a, b].map(({ ownership }) => contend(ownership, 4));
    const all = () => owners.reduce((sum, { owned }) => sum + owned.size, 0);
    await Promise.all(owners.map((owner) => owner.until(() => all() === 4)));
    redis.pause();
    try {
      await Promise.all([a, b].map(untilLapsed));
      // A process without a lease owns nothing.
      await Promise.all(owners.map((owner) => owner.until(() => all() === 0)));
    } finally {
      redis.resume();
    }
    await Promise.all([a, b].map(({ registry }) => until(registry, () => registry.isCurrent())));
    await Promise.all([a, b].map((each) => each.ready()));
    await Promise.all(owners.map((owner) => owner.until(() => all() === 4)));
    expect([a, b].map(({ registry }) => idsOf(registry))).toEqual([[id], [id]]);
    expect(b.registry.provides("f")).toBe(true);
    // No process was gone, so no leave was delivered.
    expect(orphans.map((found) => found.ids())).toEqual([[], []]);
  });

  it("restores everything when Redis has lost all data", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    for (const id of ["f", GET, "stream::set(lost)"]) await a.registry.provide(id);
    await a.registry.withdraw("stream::set(lost)", "lost");
    const held = await a.registry.bind(triggerFor("f"));
    const gate = await b.registry.bind(gateBy("f"));
    await b.registry.unbind(gate.id, "lost");
    await a.leases.hold({ id: "held", payload: "1" });
    const seen: string[][] = [];
    b.registry.watch(() => seen.push([...idsOf(b.registry)]));
    await redis.restart();
    await Promise.all([a.ready(), b.ready()]);
    await b.registry.provide("g");
    const c = await fleet.join();
    expect(idsOf(c.registry)).toEqual([held.id, gate.id].sort());
    for (const id of ["f", GET, "g"]) expect(c.registry.provides(id)).toBe(true);
    expect(Array.from(c.registry.overrides()).sort()).toEqual([GET, "stream::set(lost)"]);
    // The gate was in force all the time.
    for (const ids of seen) expect(ids).toContain(gate.id);
    const orphans = collectOrphans(c.leases);
    await c.ready();
    expect(orphans.ids()).toEqual([]);
    await a.close();
    const ofB = collectOrphans(b.leases);
    await Promise.race([orphans.until(1), ofB.until(1)]);
    await b.registry.unbind(gate.id, "withdrawn");
    expect(idsOf(c.registry)).toEqual([held.id]);
  });

  it("merges with members that joined first after Redis lost all data", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    const { id } = await a.registry.bind(gateBy("f"));
    const goOn = [a, b].map((each) => each.holdBack("heartbeat", "read", "append"));
    await redis.command("FLUSHALL");
    const c = await fleet.join();
    const own = await c.registry.bind(triggerFor("new"));
    goOn.forEach((go) => go());
    await Promise.all(
      [a, b, c].map(({ registry }) => until(registry, () => idsOf(registry).length === 2)),
    );
    await Promise.all([a, b, c].map((each) => each.registry.provide("f")));
    await Promise.all([a, b, c].map((each) => each.ready()));
    for (const { registry } of [a, b, c]) {
      expect(idsOf(registry)).toEqual([id, own.id].sort());
      expect(registry.provides("f")).toBe(true);
    }
  });

  it("restores everything when Redis lost its latest data, also for a member that joined then", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    await a.registry.bind(gateBy("before"));
    await copyKeys(fleet.tag, "", "kept");
    await a.registry.bind(gateBy("lost"));
    await a.registry.provide("lost");
    const goOn = [a, b].map((each) => each.holdBack("heartbeat", "read", "append", "ack"));
    await copyKeys(fleet.tag, "kept", "");
    const joining = fleet.join();
    goOn.forEach((go) => go());
    const c = await joining;
    // c learns of the lost entries as soon as one of the others notices the loss.
    await Promise.all([a, b, c].map((each) => each.ready()));
    await until(c.registry, () => c.registry.triggers().length === 2);
    expect(idsOf(a.registry)).toEqual(idsOf(c.registry));
    await c.registry.bind(gateBy("after"));
    for (const { registry } of [a, b, c]) {
      expect(registry.triggers()).toHaveLength(3);
      expect(registry.provides("lost")).toBe(true);
    }
  });

  it("accepts new members after its log was truncated, and keeps members that are behind", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    const { id } = await a.registry.bind(gateBy("f"));
    const goOn = b.holdBack("read");
    for (let i = 0; i < 550; i++) {
      void a.registry.provide(`f${i}`).catch(() => {});
      // One record each.
      await until(a.registry, () => a.registry.provides(`f${i}`));
    }
    expect(await redis.command("XLEN", `${fleet.tag}:log`)).toBeLessThan(100);
    const c = await fleet.join();
    goOn();
    await b.registry.provide("g");
    for (const { registry } of [b, c]) {
      expect(idsOf(registry)).toEqual([id]);
      for (let i = 0; i < 550; i++) expect(registry.provides(`f${i}`)).toBe(true);
      expect(registry.provides("g")).toBe(true);
    }
  });

  it("survives repeated cuts of all connections", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    for (let round = 0; round < 5; round++) {
      const bindings = [a, b].map(({ registry }, i) => registry.bind(triggerFor(`${round}${i}`)));
      for (const type of ["normal", "pubsub"]) await redis.command("CLIENT", "KILL", "TYPE", type);
      const bound = await Promise.all(bindings);
      for (const { registry } of [a, b])
        expect(idsOf(registry)).toEqual(expect.arrayContaining(bound.map(({ id }) => id)));
    }
  });

  it("refuses registrations while Redis is paused, and completes withdrawals later", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE, timeoutMs: 300 });
    const [a, b] = [await fleet.join(), await fleet.join()];
    await a.registry.provide("f");
    const { id } = await a.registry.bind(triggerFor("f"));
    const unavailable = { name: "StreamError", reason: "STORE_UNAVAILABLE" };
    redis.pause();
    try {
      const calls = [
        a.registry.provide("g"),
        a.registry.bind(triggerFor("g")),
        a.registry.withdraw("f", "lost"),
        a.registry.unbind(id, "withdrawn"),
      ];
      for (const call of calls) await expect(call).rejects.toMatchObject(unavailable);
    } finally {
      redis.resume();
    }
    await a.registry.withdraw("g", "withdrawn");
    for (const { registry } of [a, b])
      await until(registry, () => !registry.provides("f") && registry.triggers().length === 0);
  });

  it("lets a process leave while Redis is paused", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const a = await fleet.join();
    const contender = contend(a.ownership, 1);
    await contender.until((owned) => owned.size === 1);
    redis.pause();
    try {
      const binding = a.registry.bind(triggerFor("f"));
      const refused = binding.catch((error: unknown) => error);
      const closingMs = performance.now();
      await a.close();
      expect(performance.now() - closingMs).toBeLessThan(2000);
      expect(await refused).toMatchObject({ reason: "STORE_UNAVAILABLE" });
      expect(a.registry.isCurrent()).toBe(false);
    } finally {
      redis.resume();
    }
  });

  it("refuses joins while Redis is paused", async () => {
    const fleet = fleets({ timeoutMs: 300 });
    redis.pause();
    try {
      await expect(fleet.join()).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    } finally {
      redis.resume();
    }
  });
});

/** Copies the keys of a fleet, to restore them later. */
async function copyKeys(tag: string, from: string, to: string): Promise<void> {
  const script = `
    local all = {'head', 'log', 'snapshot', 'leases', 'acks'}
    for _, name in ipairs(all) do
      local source = ARGV[1] .. ':' .. name .. ARGV[2]
      local target = ARGV[1] .. ':' .. name .. ARGV[3]
      redis.call('DEL', target)
      redis.call('COPY', source, target)
    end`;
  await redis.command("EVAL", script, 0, tag, from, to);
}
