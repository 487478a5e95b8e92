import { afterAll, beforeAll, expect, it } from "vitest";
import { NOWHERE, fleetCommands } from "../../../src/coordinators/redis/fleet-commands.ts";
import { fleetKeys, processOf } from "../../../src/coordinators/redis/fleet-keys.ts";
import { type FleetEntry, applyRecord } from "../../../src/coordinators/redis/fleet-log.ts";
import { EMPTY_STATE } from "../../../src/coordinators/redis/fleet-state.ts";
import { unavailable } from "../../../src/redis/redis-failure.ts";
import { startOrderChild } from "../../support/redis/order-child.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { obey, until } from "../suite/fleet.ts";
import { type FleetProcess, redisFleets, untilLapsed } from "./redis-fleet.ts";

/** Short enough for tests to wait until it ends. */
const LEASE = 500;
const ALL = ["heartbeat", "read", "append", "ack", "answer"];

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis.dispose());

describeWithRedis("orders to a fleet", () => {
  const fleets = redisFleets(() => redis);

  it("have one order at three processes, and at one that joins meanwhile from its first one", async () => {
    const fleet = fleets();
    const processes = [await fleet.join(), await fleet.join(), await fleet.join()];
    const seen = processes.map(({ orders }, i) => obey(orders, String(i)));
    const joining = fleet.join();
    let late: readonly string[] | undefined;
    void joining.then(({ orders }) => (late = obey(orders, "late")));
    let issued = 0;
    /** Orders that were issued after the last process served. */
    const expected: string[] = [];
    const issueAll = async ({ orders }: FleetProcess) => {
      for (let i = 0; i < 40 || late === undefined || expected.length < 60; i++) {
        const order = String(issued++);
        if (late !== undefined) expected.push(order);
        await orders.issue(order);
      }
    };
    await Promise.all([...processes, ...processes].map(issueAll));
    const [first = []] = seen;
    expect(first).toHaveLength(issued);
    expect(new Set(first).size).toBe(issued);
    for (const each of seen) expect(each).toEqual(first);
    expect(late).toEqual(first.slice(-(late?.length ?? 0)));
    expect(late).toEqual(expect.arrayContaining(expected));
  });

  it("wait for the lease of a process that does not respond, which may not deliver (G11)", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    obey(a.orders, "a");
    const seen = obey(b.orders, "b");
    const lapses: boolean[] = [];
    b.orders.onLapse(() => lapses.push(b.orders.mayDeliver()));
    const goOn = b.holdBack(...ALL);
    const sentMs = performance.now();
    expect(await a.orders.issue("1")).toEqual(["a 1"]);
    expect(b.orders.mayDeliver()).toBe(false);
    expect(performance.now() - sentMs).toBeGreaterThanOrEqual(LEASE);
    await untilLapsed(b);
    expect(lapses).toEqual([false]);
    goOn();
    await b.ready();
    expect(b.orders.mayDeliver()).toBe(true);
    expect((await b.orders.issue("2")).toSorted()).toEqual(["a 2", "b 2"]);
    expect(seen.at(-1)).toBe("2");
    expect(lapses).toEqual([false]);
  });

  it("wait for a lease by the clock of their process when Redis ends one too early (G11)", async () => {
    const leaseMs = 3 * LEASE;
    const fleet = fleets({ registryTimeoutMs: leaseMs });
    const [a, b] = [await fleet.join(), await fleet.join()];
    const seen = obey(a.orders, "a");
    await b.registry.provide("of b");
    await b.ready();
    b.holdBack(...ALL);
    const issuing = a.orders.issue("1").then(() => b.orders.mayDeliver());
    await until(a.registry, () => seen.length > 0);
    const leases = `${fleet.tag}:leases`;
    const members = (await redis.command("ZRANGE", leases, 0, -1)) as string[];
    const ofB = members.filter((member) => processOf(member) === b.servers.instanceId);
    expect(await redis.command("ZREM", leases, ...ofB)).toBe(1);
    await until(a.registry, () => !a.registry.provides("of b"));
    expect(b.orders.mayDeliver()).toBe(true);
    expect(await issuing).toBe(false);
  });

  it("do not wait for a process that has left, which may not deliver at once (G11)", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    obey(a.orders, "a");
    await b.registry.provide("of b");
    const receive = b.holdRepliesBack("append");
    const closing = b.close();
    await until(a.registry, () => !a.registry.provides("of b"));
    expect(await a.orders.issue("1")).toEqual(["a 1"]);
    // It does not know yet that it has left.
    expect(b.registry.provides("of b")).toBe(true);
    expect(b.orders.mayDeliver()).toBe(false);
    receive();
    await closing;
  });

  it("wait for the lease of a process that was killed", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b, c] = [await fleet.join(), await fleet.join(), await fleet.join()];
    for (const [name, { orders }] of Object.entries({ a, b, c })) obey(orders, name);
    b.kill();
    expect((await a.orders.issue("1")).toSorted()).toEqual(["a 1", "c 1"]);
    expect(b.orders.mayDeliver()).toBe(false);
  });

  it("wait for a process that leaves before it has carried them out", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    obey(a.orders, "a");
    const begun = new Promise<void>((resolve) => {
      b.orders.serve(() => {
        resolve();
        return new Promise(() => {});
      });
    });
    const issuing = a.orders.issue("1").then((results) => ({
      results,
      mayDeliver: b.orders.mayDeliver(),
    }));
    await begun;
    await b.close();
    expect(await issuing).toEqual({ results: ["a 1"], mayDeliver: false });
  });

  it("fail at their issuer only after all processes have tried", async () => {
    const fleet = fleets();
    const [a, b, c] = [await fleet.join(), await fleet.join(), await fleet.join()];
    const seen = obey(a.orders, "a");
    b.orders.serve(() => Promise.reject(new Error("Failed.")));
    let isOver = false;
    c.orders.serve(async () => {
      await c.registry.provide("f");
      isOver = true;
      return "c";
    });
    await expect(a.orders.issue("1")).rejects.toThrow("at 1 of 3 processes");
    expect([seen, isOver]).toEqual([["1"], true]);
  });

  it("leave nothing behind in the agreed state, whether they succeed or fail", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    b.orders.serve(async (order) => {
      if (order === "fail") throw new Error("Failed.");
      return order;
    });
    expect(await a.orders.issue("1")).toEqual(["1"]);
    await expect(a.orders.issue("fail")).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    await a.registry.provide("after them");
    const { records } = await fleetCommands(a.servers, fleetKeys(fleet.keyPrefix)).read(NOWHERE);
    const { orders, members } = records.reduce(applyRecord, EMPTY_STATE);
    expect([orders.size, members.size]).toEqual([0, 2]);
  });

  it("are refused while a process of an older version is a member, and carried out after it", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const a = await fleet.join();
    const seen = obey(a.orders, "a");
    const commands = fleetCommands(a.servers, fleetKeys(fleet.keyPrefix));
    const member = "older/1";
    const append = async (entry: FleetEntry) => {
      for (;;) {
        const { head } = await commands.read(NOWHERE);
        const next = { ...head, version: head.version + 1, token: "t" };
        const entries = [entry];
        const rest = { author: undefined, leaseMs: 60_000, snapshot: undefined };
        const { kind } = await commands.append({ expected: head, next, entries, ...rest });
        if (kind === "ok") return;
      }
    };
    await append({ kind: "join", member, reattachMs: 0 });
    const refused = a.orders.issue("1");
    await expect(refused).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await expect(refused).rejects.toThrow("older version");
    expect(seen).toEqual([]);
    await append({ kind: "leave", member, reattachMs: 0 });
    expect(await a.orders.issue("2")).toEqual(["a 2"]);
  });
});

describeWithRedis("orders to a process that was suspended", () => {
  const fleets = redisFleets(() => redis);
  const joinTwo = async (leaseMs: number) => {
    const { keyPrefix, join } = fleets({ registryTimeoutMs: leaseMs });
    const a = await join();
    const child = await startOrderChild({ url: redis.url, keyPrefix, leaseMs });
    return { a, child };
  };

  it("wait for it while its lease lasts, and are carried out there when it resumes", async () => {
    const { a, child } = await joinTwo(20_000);
    let isAnswered = false;
    const begun = new Promise<void>((resolve) => {
      a.orders.serve(async (order) => {
        resolve();
        return `a ${order}`;
      });
    });
    child.signal("SIGSTOP");
    const issuing = a.orders.issue("1").finally(() => (isAnswered = true));
    await begun;
    await a.ready();
    expect(isAnswered).toBe(false);
    child.signal("SIGCONT");
    expect((await issuing).toSorted()).toEqual(["a 1", "child 1"]);
    expect(child.lines).toEqual([{ kind: "joined" }, { kind: "order", order: "1" }]);
  });

  it("wait for its lease; it may not deliver when it resumes, until everything has ended (G11)", async () => {
    const { a, child } = await joinTwo(2 * LEASE);
    obey(a.orders, "a");
    expect((await a.orders.issue("1")).toSorted()).toEqual(["a 1", "child 1"]);
    child.signal("SIGUSR2");
    await child.until("pausing");
    expect(await a.orders.issue("2")).toEqual(["a 2"]);
    child.signal("SIGCONT");
    await child.until("delivers");
    expect(child.lines.filter(({ kind }) => kind !== "order")).toEqual([
      { kind: "joined" },
      { kind: "pausing" },
      { kind: "resumed", mayDeliver: false },
      { kind: "lapsed", mayDeliver: false },
      { kind: "delivers" },
    ]);
    expect((await a.orders.issue("3")).toSorted()).toEqual(["a 3", "child 3"]);
  });
});

describeWithRedis("orders to a fleet whose Redis fails", () => {
  const fleets = redisFleets(() => redis);

  it("are refused while Redis is paused, and no process may deliver once its lease has ended", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE, timeoutMs: 300 });
    const [a, b] = [await fleet.join(), await fleet.join()];
    for (const [name, { orders }] of Object.entries({ a, b })) obey(orders, name);
    let lapses = 0;
    for (const { orders } of [a, b]) orders.onLapse(() => lapses++);
    redis.pause();
    try {
      await expect(a.orders.issue("1")).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
      await Promise.all([a, b].map(untilLapsed));
      expect([a, b].map(({ orders }) => orders.mayDeliver())).toEqual([false, false]);
      await expect(a.orders.issue("2")).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    } finally {
      redis.resume();
    }
    await Promise.all([a, b].map((each) => each.ready()));
    expect([a, b].map(({ orders }) => orders.mayDeliver())).toEqual([true, true]);
    expect((await b.orders.issue("3")).toSorted()).toEqual(["a 3", "b 3"]);
    expect(lapses).toBe(2);
  });

  it("survive the loss of all data while a process carries them out", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    obey(a.orders, "a");
    let release = () => {};
    const begun = new Promise<void>((resolve) => {
      b.orders.serve(async (order) => {
        resolve();
        await new Promise<void>((go) => (release = go));
        return `b ${order}`;
      });
    });
    const issuing = a.orders.issue("1");
    await begun;
    await redis.restart();
    await Promise.all([a.ready(), b.ready()]);
    release();
    expect((await issuing).toSorted()).toEqual(["a 1", "b 1"]);
  });

  it("reach a process that has not read them when Redis loses all data (G11)", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    const seen = obey(a.orders, "a");
    const seenB = obey(b.orders, "b");
    const goOn = b.holdBack(...ALL);
    const issuing = a.orders.issue("1");
    await until(a.registry, () => seen.length > 0);
    await redis.command("FLUSHALL");
    goOn();
    expect((await issuing).toSorted()).toEqual(["a 1", "b 1"]);
    expect(seenB).toEqual(["1"]);
  });

  it("reach a process that reads a snapshot because the log was truncated meanwhile (G11)", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    const seen = obey(a.orders, "a");
    obey(b.orders, "b");
    const goOn = b.holdBack("read");
    const issuing = a.orders.issue("1");
    await until(a.registry, () => seen.length > 0);
    for (let i = 0; i < 550; i++) {
      void a.registry.provide(`f${i}`).catch(() => {});
      // One record each.
      await until(a.registry, () => a.registry.provides(`f${i}`));
    }
    expect(await redis.command("XLEN", `${fleet.tag}:log`)).toBeLessThan(100);
    goOn();
    expect((await issuing).toSorted()).toEqual(["a 1", "b 1"]);
  });

  it("receive the results of a process that could not send them at first", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    for (const [name, { orders }] of Object.entries({ a, b })) obey(orders, name);
    const { servers } = b;
    const run = servers.run.bind(servers);
    let failures = 2;
    servers.run = (tag, script, ...rest) =>
      script.name === "answer" && failures-- > 0
        ? Promise.reject(unavailable(undefined))
        : run(tag, script, ...rest);
    expect((await a.orders.issue("1")).toSorted()).toEqual(["a 1", "b 1"]);
    expect(failures).toBeLessThan(0);
  });

  it("are carried out although connections are cut again and again", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    const seen = [obey(a.orders, "a"), obey(b.orders, "b")];
    for (let round = 0; round < 5; round++) {
      const issuing = [a, b].map(({ orders }, i) => orders.issue(`${round}${i}`));
      for (const type of ["normal", "pubsub"]) await redis.command("CLIENT", "KILL", "TYPE", type);
      for (const results of await Promise.all(issuing)) expect(results).toHaveLength(2);
    }
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]).toHaveLength(10);
  });
});
