import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { processOf } from "../../../src/coordinators/redis/fleet-keys.ts";
import { FunctionError } from "../../../src/core/function-call.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { redisFleets, untilLapsed } from "./redis-fleet.ts";
import { describeCoordinator } from "../suite/coordinator.suite.ts";
import {
  REATTACH,
  contend,
  gateBy,
  collectOrphans,
  idsOf,
  triggerFor,
  until,
  untilEnded,
} from "../suite/fleet.ts";

/** Short enough for tests to wait until it ends. */
const LEASE = 500;
const GET = "stream::get(orders)";

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis.dispose());

describeWithRedis("with a Redis", () => {
  const fleets = redisFleets(() => redis);
  describeCoordinator("redis", ({ reattachMs }) => {
    const fleet = fleets({ reattachMs });
    return { ...fleet, survives: true, processes: 2, dispose: async () => {} };
  });
});

describeWithRedis("a process of a fleet that loses its lease", () => {
  const fleets = redisFleets(() => redis);

  it("loses everything it had, after it was fenced from committing", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE, reattachMs: REATTACH });
    const fenced: string[] = [];
    const a = await fleet.join();
    const b: Awaited<ReturnType<typeof fleet.join>> = await fleet.join({
      fence: async (member) => {
        expect(b.registry.provides("f")).toBe(true);
        fenced.push(processOf(member));
      },
    });
    const ofA = contend(a.ownership, 8);
    await ofA.until((owned) => owned.size === 8);
    const ofB = contend(b.ownership, 8);
    await ofB.until((owned) => owned.size > 0);
    for (const id of ["f", GET]) await a.registry.provide(id);
    const { id } = await a.registry.bind(triggerFor("f"));
    const gate = await a.registry.bind(gateBy("f"));
    await a.leases.hold({ id: "held", payload: '{"é":1}' });
    const orphans = collectOrphans(b.leases);
    const killedMs = performance.now();
    a.kill();
    await ofB.until((owned) => owned.size === 8);
    expect(performance.now() - killedMs).toBeGreaterThan(LEASE / 2);
    await untilEnded(b.registry, id);
    expect(idsOf(b.registry)).toEqual([gate.id]);
    expect([b.registry.provides("f"), b.registry.provides(GET)]).toEqual([false, false]);
    expect(Array.from(b.registry.overrides())).toEqual([GET]);
    await orphans.until(1);
    expect(orphans.payloadOf("held")).toBe('{"é":1}');
    expect(new Set(fenced)).toEqual(new Set([a.servers.instanceId]));
    // By its own clock, its lease ended earlier than for the others.
    expect(a.registry.isCurrent()).toBe(false);
    await untilEmpty(ofA);
  });

  it("is expired by the first process to start later, and its triggers wait in full again", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE, reattachMs: REATTACH });
    const a = await fleet.join();
    const { id } = await a.registry.bind(triggerFor("f"));
    await a.leases.hold({ id: "held", payload: "1" });
    a.kill();
    await untilLapsed(a);
    const b = await fleet.join();
    expect(idsOf(b.registry)).toEqual([id]);
    const orphans = collectOrphans(b.leases);
    await orphans.until(1);
    await untilEnded(b.registry, id);
  });

  it("joins anew with everything it had when it is still alive", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE, reattachMs: REATTACH });
    const [a, b] = [await fleet.join(), await fleet.join()];
    for (const id of ["f", GET]) await a.registry.provide(id);
    const { id } = await a.registry.bind(gateBy("f"));
    const ofA = contend(a.ownership, 2);
    await ofA.until((owned) => owned.size === 2);
    const fences = Array.from(ofA.owned.values());
    const goOn = a.holdBack("heartbeat", "append");
    await until(b.registry, () => !b.registry.provides("f"));
    expect(idsOf(b.registry)).toEqual([id]);
    await untilEmpty(ofA);
    expect(a.registry.isCurrent()).toBe(false);
    const holding = a.leases.hold({ id: "held", payload: "1" });
    const orphans = collectOrphans(b.leases);
    const isReady = a.ready();
    goOn();
    await Promise.all([isReady, holding]);
    await ofA.until((owned) => owned.size === 2);
    for (const fence of ofA.owned.values()) expect(fences).not.toContain(fence);
    await until(b.registry, () => b.registry.provides("f") && b.registry.provides(GET));
    expect((await b.registry.bind(gateBy("f"))).id).toBe(id);
    await b.ready();
    expect(orphans.ids()).toEqual([]);
    a.kill();
    await orphans.until(1);
  });

  it("delays registrations only until its lease has ended", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const a = await fleet.join();
    const b = await fleet.join();
    const goOn = b.holdBack("ack");
    let isBound = false;
    const binding = a.registry.bind(gateBy("f")).then(() => (isBound = true));
    await until(b.registry, () => b.registry.triggers().length === 1);
    await a.ready();
    expect(isBound).toBe(false);
    goOn();
    await binding;
    b.holdBack("ack", "heartbeat");
    const sentMs = performance.now();
    await a.registry.bind(gateBy("g"));
    expect(b.registry.isCurrent()).toBe(false);
    expect(performance.now() - sentMs).toBeGreaterThan(LEASE / 2);
  });
});

describeWithRedis("ownership of a fleet", () => {
  const fleets = redisFleets(() => redis);

  it("moves once the old owner has drained and the new owner has claimed the partition", async () => {
    const fleet = fleets();
    const claims: string[] = [];
    const [a, b] = [
      await fleet.join(),
      await fleet.join({
        claim: async (partition, fence) => void claims.push(`${partition} ${fence}`),
      }),
    ];
    const losing = new Map<number, () => void>();
    const { promise: lost, resolve: resolveLost } = signal();
    const gained: number[] = [];
    await new Promise<void>((resolve) => {
      a.ownership.contend(8, {
        gained: (partition) => void (gained.push(partition) === 8 && resolve()),
        lost: async (partition) => {
          resolveLost();
          await new Promise<void>((end) => losing.set(partition, end));
        },
      });
    });
    const ofB = contend(b.ownership, 8);
    await lost;
    await b.registry.provide("time passes");
    await b.ready();
    expect(ofB.owned.size).toBe(0);
    for (const end of losing.values()) end();
    await ofB.until((owned) => owned.size === losing.size);
    expect(new Set(ofB.owned.keys())).toEqual(new Set(losing.keys()));
    for (const [partition, fence] of ofB.owned) expect(claims).toContain(`${partition} ${fence}`);
  });
});

describeWithRedis("calls between processes of a fleet", () => {
  const fleets = redisFleets(() => redis);

  it("are cancelled on both sides", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    const called = new Promise<AbortSignal>((resolve) => {
      a.routing.serve(async (_id, _payload, { signal }) => {
        if (signal !== undefined) resolve(signal);
        return new Promise(() => {});
      });
    });
    await a.registry.provide("f");
    const controller = new AbortController();
    const call = b.routing.call("f", "{}", { signal: controller.signal });
    const signal = await called;
    const aborted = once(signal, "abort");
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: "invocation_stopped", isUnserved: false });
    await aborted;
    const late = b.routing.call("f", "{}", { timeoutMs: 20 });
    await expect(late).rejects.toMatchObject({ code: "TIMEOUT" });
    const never = b.routing.call("f", "{}", { signal: controller.signal });
    await expect(never).rejects.toMatchObject({ code: "invocation_stopped" });
  });

  it("fail as unserved when the called process is killed", async () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    const [a, b] = [await fleet.join(), await fleet.join()];
    const called = new Promise<void>((resolve) => {
      a.routing.serve(async () => {
        resolve();
        return new Promise(() => {});
      });
    });
    await a.registry.provide("f");
    const call = b.routing.call("f", "{}", {});
    await called;
    a.kill();
    await expect(call).rejects.toBeInstanceOf(FunctionError);
    await expect(call).rejects.toMatchObject({ code: "invocation_stopped", isUnserved: true });
  });

  it("go to another provider at once when the first does not receive them", async () => {
    const fleet = fleets();
    const processes = [await fleet.join(), await fleet.join(), await fleet.join()] as const;
    const [a, b, c] = processes;
    for (const [name, { routing, registry }] of Object.entries({ a, b })) {
      routing.serve(async () => JSON.stringify(name));
      await registry.provide("f");
    }
    const call = () => c.routing.call("f", "{}", { timeoutMs: 5000 });
    expect(new Set([await call(), await call()])).toEqual(new Set(['"a"', '"b"']));
    a.kill();
    await untilUnsubscribed(`${fleet.tag}:calls:${a.servers.instanceId}`);
    expect([await call(), await call()]).toEqual(['"b"', '"b"']);
    b.kill();
    await untilUnsubscribed(`${fleet.tag}:calls:${b.servers.instanceId}`);
    await expect(call()).rejects.toMatchObject({ code: "function_not_found", isUnserved: true });
  });

  it("carry payloads and results of 3 MiB", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    a.routing.serve(async (_id, payload) => payload);
    await a.registry.provide("f");
    const payload = JSON.stringify({ text: '"é\\'.repeat((3 << 20) / 4) });
    const answers = await Promise.all(
      [1, 2].map(() => b.routing.call("f", payload, { timeoutMs: 10_000 })),
    );
    expect(answers.every((answer) => answer === payload)).toBe(true);
  });

  it("fail as unserved when their results may have been lost, so that callers may retry", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    let answer: (() => void) | undefined;
    const called = new Promise<void>((resolve) => {
      a.routing.serve(async () => {
        resolve();
        return new Promise((done) => (answer = () => done('"late"')));
      });
    });
    await a.registry.provide("f");
    const call = b.routing.call("f", "{}", {});
    await called;
    await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
    await expect(call).rejects.toMatchObject({ code: "invocation_stopped", isUnserved: true });
    answer?.();
  });
});

/** A promise and its resolver. */
function signal() {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

async function untilEmpty(contender: ReturnType<typeof contend>): Promise<void> {
  await contender.until((owned) => owned.size === 0);
}

/** Resolves when a channel has no subscribers. */
async function untilUnsubscribed(channel: string): Promise<void> {
  for (;;) {
    const reply = (await redis.command("PUBSUB", "SHARDNUMSUB", channel)) as [string, number];
    if (reply[1] === 0) return;
  }
}
