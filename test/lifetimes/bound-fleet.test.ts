import { expect, it } from "vitest";
import { type LeaveChild, startLeaveChild } from "../support/gates/leave-child.ts";
import { type SocketClient, openClient, watchGroup } from "../support/lifetimes/socket-client.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

/** Time for a test of several processes. */
const LONG_MS = 60_000;
/** How long sessions wait for their clients, in milliseconds. */
const TIMEOUT_MS = 1000;
/** Member timeout of the fleet, in milliseconds. */
const REGISTRY_TIMEOUT_MS = 2000;

const group = { streamName: "cursors", groupId: "g" };

async function newFleet() {
  const { url } = await sharedRedis();
  const keyPrefix = randomPrefix();
  const registryTimeoutMs = REGISTRY_TIMEOUT_MS;
  const store = { kind: "redis", url, keyPrefix, registryTimeoutMs } as const;
  return async (): Promise<LeaveChild> =>
    startLeaveChild({ store, gate: false, presenceTimeoutMs: TIMEOUT_MS });
}
const set = async (client: SocketClient, itemId: string, whileConnected = true) =>
  client.call("Set", { ...group, itemId, data: 1, whileConnected });

describeWithRedis("an item that is bound to a connection, in a fleet", () => {
  it(
    "stays while its client is at another process, and is deleted at once when it closes the connection there",
    async () => {
      const start = await newFleet();
      const [a, b] = await Promise.all([start(), start()]);
      const watch = await watchGroup(b.url, group);
      const before = await openClient(a.url);
      await set(before, "at a");
      const after = await openClient(b.url, before);
      expect(after).toMatchObject({ resumed: true, connectionId: before.connectionId });
      expect(await before.line.closed).toBe(4409);
      await set(after, "at b");
      const lost = await openClient(a.url);
      await set(lost, "lost");
      lost.line.socket.terminate();
      await watch.until("at a", "at b", "lost");
      // The timeout of the session has passed at the process that had it.
      await watch.until("at a", "at b");
      const closedMs = performance.now();
      after.line.socket.close();
      expect((await watch.until()) - closedMs).toBeLessThan(TIMEOUT_MS);
      for (const id of ["at a", "at b"]) expect(watch.causes(id)).toEqual(["disconnected"]);
    },
    LONG_MS,
  );

  it(
    "is deleted after the process of its connection was killed, unless its client comes back in time",
    async () => {
      const start = await newFleet();
      const [killed, other] = await Promise.all([start(), start()]);
      const watch = await watchGroup(other.url, group);
      const [kept, lost] = [await openClient(killed.url), await openClient(killed.url)];
      await set(kept, "kept");
      await set(lost, "lost");
      await watch.until("kept", "lost");
      await killed.end("SIGKILL");
      const killedMs = performance.now();
      const after = await openClient(other.url, kept);
      expect(after.resumed).toBe(true);
      // Not before its client could have come back.
      expect((await watch.until("kept")) - killedMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
      expect(watch.causes("lost")).toEqual(["disconnected"]);
      expect((await openClient(other.url, lost)).resumed).toBe(false);
      after.line.socket.close();
      await watch.until();
    },
    LONG_MS,
  );

  it.each(["SIGKILL", "SIGTERM"] as const)(
    "is deleted after all processes have stopped by %s and one has started, unless its client comes back in time",
    async (signal) => {
      const start = await newFleet();
      const first = await start();
      const [kept, lost] = [await openClient(first.url), await openClient(first.url)];
      await set(kept, "kept");
      await set(lost, "lost");
      await set(lost, "stays", false);
      await first.end(signal);
      const second = await start();
      const watch = await watchGroup(second.url, group);
      expect(watch.ids()).toContain("kept");
      const after = await openClient(second.url, kept);
      expect(after).toMatchObject({ resumed: true, connectionId: kept.connectionId });
      await watch.until("kept", "stays");
      after.line.socket.close();
      await watch.until("stays");
    },
    LONG_MS,
  );

  it(
    "is deleted while the process of its connection hangs, and its socket is closed afterwards",
    async () => {
      const start = await newFleet();
      const [stuck, other] = await Promise.all([start(), start()]);
      const watch = await watchGroup(other.url, group);
      const ann = await openClient(stuck.url);
      await set(ann, "a");
      await watch.until("a");
      stuck.pause();
      await watch.until();
      stuck.resume();
      // Its client finds out that its items are gone.
      expect(await ann.line.closed).toBe(1013);
      const after = await openClient(other.url, ann);
      expect(after.resumed).toBe(false);
      expect(await set(after, "b")).toMatchObject({ result: { created: true } });
      await watch.until("b");
    },
    LONG_MS,
  );
});
