import { expect, it, onTestFinished } from "vitest";
import type { StreamService } from "millrace";
import { type Server, createServer } from "millrace/server";
import { startChild } from "../support/long/child-server.ts";
import { startSentinels } from "../support/redis/redis-sentinel.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

const GROUPS = Array.from({ length: 40 }, (_, i) => ({ streamName: "leases", groupId: `g${i}` }));
const ITEMS_PER_GROUP = 5;
/** How long a member that was killed counts as one. */
const LEASE_MS = 2000;
/** Further delay of a take-over on a busy machine: the next look, the election, the first read. */
const TAKE_OVER_MS = 4000;

/** What the test needs of a place in Redis. */
interface Place {
  readonly url: string;
  readonly keyPrefix: string;
}

async function startServer({ url, keyPrefix }: Place): Promise<StreamService> {
  const server: Server = await createServer({
    port: 0,
    store: { kind: "redis", url, keyPrefix, registryTimeoutMs: LEASE_MS },
    settleTimeoutMs: 300,
  });
  onTestFinished(() => server.close());
  return server.service;
}

/** A delete by the service, and the end that its item had. */
interface Ended {
  readonly item: string;
  readonly lateMs: number;
}

/** Follows all groups at a process. @returns what it saw so far. */
async function followEnds(service: StreamService, ends: ReadonlyMap<string, number>) {
  const ended: Ended[] = [];
  for (const group of GROUPS) {
    const frames = await service.subscribe(group);
    onTestFinished(async () => void (await frames.return?.()));
    void (async () => {
      for await (const frame of frames) {
        if (frame.kind !== "change" || frame.type !== "delete") continue;
        expect(frame).toMatchObject({ cause: "expired", author: "" });
        const item = `${group.groupId}/${frame.itemId}`;
        ended.push({ item, lateMs: frame.timestamp - (ends.get(item) ?? NaN) });
      }
    })().catch(() => {});
  }
  return ended;
}

/** Writes items to all groups, at the services in turn, and notes their ends. */
async function fill(
  services: readonly StreamService[],
  ends: Map<string, number>,
  ttlMs: (i: number) => number,
): Promise<void> {
  for (let i = 0; i < ITEMS_PER_GROUP; i++) {
    const writes = GROUPS.map(async (group, at) => {
      const service = services[(i + at) % services.length] as StreamService;
      const key = { ...group, itemId: `i${i}` };
      await service.set({ ...key, data: i, ttlMs: ttlMs(i) });
      const { expireTime } = (await service.get(key)) ?? {};
      ends.set(`${group.groupId}/${key.itemId}`, expireTime?.getTime() ?? NaN);
    });
    await Promise.all(writes);
  }
}

function expectEachOnce(ended: readonly Ended[], ends: ReadonlyMap<string, number>): void {
  expect(ended.map(({ item }) => item).sort()).toEqual(Array.from(ends.keys()).sort());
}

describeWithRedis("a fleet with lifetimes", () => {
  it("deletes each item once, at most 1 s late, and fires its triggers once", async () => {
    const place = { url: (await sharedRedis()).url, keyPrefix: randomPrefix() };
    const services = await Promise.all([
      startServer(place),
      startServer(place),
      startServer(place),
    ]);
    const fired: string[] = [];
    for (const service of services)
      await service.registerFunction("ended", (payload: { event: { cause?: string } }) => {
        if (payload.event.cause !== undefined) fired.push(payload.event.cause);
      });
    await services[0].registerTrigger({
      type: "stream",
      function_id: "ended",
      config: { stream_name: "leases" },
    });
    const ends = new Map<string, number>();
    const seen = await Promise.all(services.map((service) => followEnds(service, ends)));
    await fill(services, ends, (i) => 1000 + 300 * i);
    for (const ended of seen) {
      await expect.poll(() => ended.length, { timeout: 15_000 }).toBe(ends.size);
      expectEachOnce(ended, ends);
      for (const { lateMs } of ended) {
        expect(lateMs).toBeGreaterThanOrEqual(0);
        expect(lateMs).toBeLessThanOrEqual(1000);
      }
    }
    await expect.poll(() => fired.length, { timeout: 5000 }).toBe(ends.size);
    expect(new Set(fired)).toEqual(new Set(["expired"]));
  });

  it("deletes each item once although the process responsible for it is killed", async () => {
    const place = { url: (await sharedRedis()).url, keyPrefix: randomPrefix() };
    const child = await startChild({
      port: 0,
      store: { kind: "redis", ...place, registryTimeoutMs: LEASE_MS },
    });
    onTestFinished(() => child.kill());
    const survivor = await startServer(place);
    const ends = new Map<string, number>();
    const ended = await followEnds(survivor, ends);
    await fill([survivor], ends, (i) => 1000 + 1000 * i);
    await expect.poll(() => ended.length, { timeout: 5000 }).toBeGreaterThan(0);
    await child.kill();
    await expect.poll(() => ended.length, { timeout: 20_000 }).toBe(ends.size);
    expectEachOnce(ended, ends);
    for (const { lateMs } of ended)
      expect(lateMs).toBeLessThanOrEqual(1000 + LEASE_MS + TAKE_OVER_MS);
  });

  it(
    "deletes each item once after a failover to the replica (G2)",
    { timeout: 60_000 },
    async () => {
      const trio = await startSentinels();
      onTestFinished(() => trio.dispose());
      const place = { url: trio.url, keyPrefix: randomPrefix() };
      const services = [await startServer(place), await startServer(place)];
      const ends = new Map<string, number>();
      await fill(services, ends, () => 2500);
      await trio.master.command("WAIT", "1", "5000");
      await trio.master.kill();
      const left = async () => {
        const [groups] = await Promise.all(
          services.map((service) => service.listGroups({ streamName: "leases", pageSize: 1000 })),
        ).catch(() => []);
        return groups?.groups.length;
      };
      await expect.poll(left, { timeout: 40_000, interval: 200 }).toBe(0);
      // The log of each group has one delete of each of its items.
      const items: string[] = [];
      for (const group of GROUPS)
        for (const { type, itemId, cause } of (await services[0]!.history(group)).changes)
          if (type === "delete") items.push(`${group.groupId}/${itemId} ${cause}`);
      expect(items.sort()).toEqual(Array.from(ends.keys(), (item) => `${item} expired`).sort());
    },
  );
});
