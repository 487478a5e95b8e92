import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { Value, type WritePayload, createStreamService, memoryStore } from "millrace";
import { redisFleets, untilLapsed } from "../coordinators/redis/redis-fleet.ts";
import { until } from "../coordinators/suite/fleet.ts";
import { gatesOf } from "../support/gates/gates-of.ts";
import { type RedisProcess, startRedis } from "../support/redis/redis-server.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

/** Lease of a process in its fleet, in milliseconds: short enough to wait until it ends. */
const LEASE = 500;
const CALLER = { user: "ann", context: "null", connection: { connectionId: "c1" } };
const SET = { streamName: "chat", groupId: "lobby", itemId: "m1", data: Value.of("hello") };
const READ = { streamName: "chat", groupId: "lobby", ...CALLER };
const GATE = { type: "stream:write", function_id: "gate", config: { stream_name: "chat" } };
const REFUSED = { reason: "WRITE_REFUSED", retryable: true };

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis.dispose());

describeWithRedis("a write gate of a fleet over one Redis", () => {
  const fleets = redisFleets(() => redis);
  const newFleet = () => {
    const fleet = fleets({ registryTimeoutMs: LEASE });
    return async () => {
      const coordinator = await fleet.join();
      const service = createStreamService({
        store: memoryStore(),
        coordinator,
        settleTimeoutMs: 100,
      });
      onTestFinished(() => service.close());
      return { coordinator, service, gates: gatesOf(coordinator, service).gates };
    };
  };

  it("is asked about writes at the process that does not serve it, and may replace their content", async () => {
    const join = newFleet();
    const [one, two] = [await join(), await join()];
    await one.service.registerFunction("gate", ({ data, user }: WritePayload) => ({
      data: { text: data, from: user },
    }));
    await one.service.registerTrigger(GATE);
    const admitted = await two.gates.admitWrite("set", SET, CALLER);
    expect(admitted.data.json()).toEqual({ text: "hello", from: "ann" });
  });

  it("refuses once the process that serves it is killed, until another one serves it (G8)", async () => {
    const join = newFleet();
    const [one, two] = [await join(), await join()];
    await one.service.registerFunction("gate", () => null);
    await one.service.registerTrigger(GATE);
    expect(await two.gates.admitWrite("set", SET, CALLER)).toBe(SET);
    one.coordinator.kill();
    const { registry } = two.coordinator;
    await until(registry, () => !registry.provides("gate"));
    await expect(two.gates.admitWrite("set", SET, CALLER)).rejects.toMatchObject(REFUSED);
    const three = await join();
    await three.service.registerFunction("gate", () => null);
    expect(await two.gates.admitWrite("set", SET, CALLER)).toBe(SET);
  });

  it("is assumed by a process whose lease has lapsed, which refuses every write and read (G8)", async () => {
    const { coordinator, gates } = await newFleet()();
    expect(gates.admitWrite("set", SET, CALLER)).toBe(SET);
    expect(gates.admitRead(READ)).toBeUndefined();
    coordinator.kill();
    await untilLapsed(coordinator);
    await expect(gates.admitWrite("set", SET, CALLER)).rejects.toMatchObject(REFUSED);
    await expect(gates.admitRead(READ)).rejects.toMatchObject({
      reason: "JOIN_REFUSED",
      retryable: true,
    });
  });
});
