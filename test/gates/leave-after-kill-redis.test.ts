import { expect, it, onTestFinished } from "vitest";
import { createRedisCoordinator } from "../../src/coordinators/redis/redis-coordinator.ts";
import { RedisServers } from "../../src/redis/redis-servers.ts";
import { parseRedisUrl } from "../../src/redis/redis-url.ts";
import { connect } from "../bridge/line.ts";
import { doorNamed } from "../support/doors/doors.ts";
import type { JoinPayload } from "../support/gates/gated-server.ts";
import { leavesSoFar, remote, startLeaveChild } from "../support/gates/leave-child.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

const TIMEOUT_MS = 60_000;
/** Member timeout of the fleet, in milliseconds. */
const REGISTRY_TIMEOUT_MS = 2000;

/** Starts processes of one fleet. */
async function newFleet() {
  const { url } = await sharedRedis();
  const keyPrefix = randomPrefix();
  const registryTimeoutMs = REGISTRY_TIMEOUT_MS;
  return {
    url,
    keyPrefix,
    start: () =>
      startLeaveChild({ store: { kind: "redis", url, keyPrefix, registryTimeoutMs }, gate: true }),
  };
}

const sorted = (all: readonly JoinPayload[]) => all.map((each) => JSON.stringify(each)).toSorted();

describeWithRedis("a member of a fleet over Redis", () => {
  it(
    "delivers the leaves of a killed member, each with the connection_id of its join (G6)",
    async () => {
      const fleet = await newFleet();
      const [killed, other] = await Promise.all([fleet.start(), fleet.start()]);
      const line = await connect(killed.url, "/stream/rooms/url?user=ann");
      await line.count(1);
      line.join({ streamName: "rooms", groupId: "g", id: "a", subscriptionId: "a" });
      await line.count(2);
      const client = doorNamed("grpc").client(remote(killed));
      onTestFinished(() => client.close());
      const frames = await client.subscribe({ streamName: "rooms", groupId: "rpc" });
      await frames.next();
      // Either process may serve the gate, and reports it over a pipe, which may be later.
      const both = [killed.joins, other.joins] as const;
      const isComplete = () => both[0].all.length + both[1].all.length === 3;
      await Promise.any(both.map((each) => each.until("all joins", isComplete)));
      const joins = both.flatMap(({ all }) => all);
      expect(joins.map((each) => each.group_id).toSorted()).toEqual(["g", "rpc", "url"]);
      expect(other.leaves.all).toEqual([]);

      await killed.end("SIGKILL");
      expect(sorted(await other.leaves.count(3))).toEqual(sorted(joins));
      const connections = joins.map((each) => each.connection_id);
      expect(connections).toEqual(connections.map(() => expect.stringMatching(/^[0-9a-f]{32}$/)));
      expect(new Set(connections).size).toBe(2);
      expect(sorted(await leavesSoFar(other))).toEqual(sorted(joins));
    },
    TIMEOUT_MS,
  );

  it(
    "delivers leaves that an earlier version recorded without connection_id",
    async () => {
      const { url, keyPrefix, start } = await newFleet();
      const other = await start();
      const servers = new RedisServers({ target: parseRedisUrl(url) });
      onTestFinished(() => servers.close());
      servers.start();
      const registryTimeoutMs = REGISTRY_TIMEOUT_MS;
      const earlier = await createRedisCoordinator({ servers, keyPrefix, registryTimeoutMs });
      // The format of that version.
      const payload =
        '{"subscription_id":"old","stream_name":"rooms","group_id":"g","id":null,"context":{"user":"ann"}}';
      await earlier.leases.hold({ id: "5f2c0d8e-1", payload });
      // Without connections, other members consider it dead.
      servers.close();
      expect(await other.leaves.count(1)).toEqual([JSON.parse(payload)]);
      expect(await leavesSoFar(other)).toEqual([JSON.parse(payload)]);
    },
    TIMEOUT_MS,
  );
});
