import { afterAll, beforeAll, expect, it } from "vitest";
import { fleetCommands } from "../../../src/coordinators/redis/fleet-commands.ts";
import {
  fleetKeys,
  knowsKeys,
  knowsLifetimes,
  newMemberId,
  processOf,
  readsAuthors,
  readsDeltas,
} from "../../../src/coordinators/redis/fleet-keys.ts";
import { Replica } from "../../../src/coordinators/redis/replica.ts";
import { type RedisProcess, startRedis } from "../../support/redis/redis-server.ts";
import { describeWithRedis } from "../../support/redis/required-redis.ts";
import { REATTACH, triggerFor, until } from "../suite/fleet.ts";
import { redisFleets } from "./redis-fleet.ts";

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => redis.dispose());

it("a member id says whether its process reads authors and deltas, and knows idempotency keys and lifetimes", () => {
  const id = newMemberId("0b3c/process");
  expect(processOf(id)).toBe("0b3c/process");
  expect([readsAuthors(id), readsDeltas(id), knowsKeys(id)]).toEqual([true, true, true]);
  const withAuthors = "0b3c/1a2b3c4d.2";
  expect([readsAuthors(withAuthors), readsDeltas(withAuthors)]).toEqual([true, false]);
  for (const old of ["0b3c/1a2b3c4d", "0.7/1a2b3c4d", "", "0b3c/1a2b3c4d.1"])
    expect([readsAuthors(old), readsDeltas(old), knowsKeys(old)]).toEqual([false, false, false]);
  const withDeltas = "0b3c/1a2b3c4d.3";
  expect([readsDeltas(withDeltas), knowsKeys(withDeltas)]).toEqual([true, false]);
  const withKeys = "0b3c/1a2b3c4d.4";
  expect([knowsKeys(withKeys), knowsLifetimes(withKeys)]).toEqual([true, false]);
  expect(knowsLifetimes(id)).toBe(true);
});

describeWithRedis("a fleet with a member of a version without authors", () => {
  const fleets = redisFleets(() => redis);

  it("writes no authors and no deltas, and uses no idempotency keys, lifetimes and durable triggers, until that member has left", async () => {
    const fleet = fleets();
    const [a, b] = [await fleet.join(), await fleet.join()];
    expect([a.readsAuthors(), b.readsAuthors()]).toEqual([true, true]);
    const keyPrefix = fleet.tag.slice(1, -":fleet}".length);
    const member = "an-old-process/1a2b3c4d";
    const old = new Replica({
      commands: fleetCommands(a.servers, fleetKeys(keyPrefix)),
      timeoutMs: 5000,
      leaseMs: 10_000,
      reattachMs: REATTACH,
      author: () => member,
      onGone() {},
      onChange() {},
      onEntered() {},
    });
    await old.catchUp();
    await old.propose(() => [{ kind: "join", member, reattachMs: REATTACH }]);
    for (const process of [a, b]) await until(process.registry, () => !process.readsAuthors());
    const late = await fleet.join();
    const abilities = () => [
      ...[late.readsAuthors(), late.readsDeltas(), late.knowsKeys(), late.knowsLifetimes()],
    ];
    expect(abilities()).toEqual([false, false, false, false]);
    const durable = triggerFor("f", { config: { streamName: "orders", durable: "audit" } });
    await expect(late.registry.bind(durable)).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
      message: expect.stringContaining("older version") as unknown,
    });
    await old.propose(() => [{ kind: "leave", member, reattachMs: REATTACH }]);
    for (const process of [a, b, late]) await until(process.registry, () => process.readsAuthors());
    expect(abilities()).toEqual([true, true, true, true]);
    await late.registry.bind(durable);
    old.close();
  });
});
