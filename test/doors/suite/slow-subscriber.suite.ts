import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { type OpenDoor, openDoor } from "../../support/doors/open-door.ts";
import { openProxy } from "../../support/doors/proxy.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { noise } from "../../support/doors/values.ts";

const QUEUE = { maxFrames: 10, maxBytes: 64 * 1024 };
const MiB = 1024 * 1024;
/** Large changes: more than the operating system buffers for a client that does not read. */
const CHANGES = 24;
const LARGE = noise(512 * 1024);

/** Subscribers that fall behind (G7). */
export function slowSubscriberSuite(door: Door, kind: StoreKind): void {
  const group = () => ({ streamName: uniqueName("slow"), groupId: "g" });

  /** Opens a subscriber that reads its sync, and none of the changes after it. */
  const stalled = async (at: OpenDoor, key: ReturnType<typeof group>) => {
    const proxy = await openProxy(at.server.port);
    const client = door.client({ ...at.server, url: proxy.url });
    onTestFinished(async () => {
      await client.close();
      await proxy.close();
    });
    const follower = await Follower.open(client, key);
    await follower.sync();
    proxy.stall();
    for (let i = 1; i <= CHANGES; i++) {
      await at.server.service.set({ ...key, itemId: `i${i % 5}`, data: LARGE });
      // Lets the server's sockets progress.
      await turn();
    }
    return { follower, flow: () => proxy.flow() };
  };

  describe("a subscriber that falls behind (G7)", () => {
    const at = openDoor(door, kind, {
      subscriberQueue: QUEUE,
      history: { maxBytes: 64 * MiB },
    });

    it("receives a replay without a hole when it reads again (G3)", async () => {
      const key = group();
      const { follower, flow } = await stalled(at, key);
      const { logReads } = at.server.store;
      flow();
      await follower.reach(CHANGES);
      expect(follower.segments).toBe(1);
      expect(at.server.store.logReads).toBeGreaterThan(logReads);
      await at.client.set({ ...key, itemId: "live", data: "live" });
      expect(await follower.expectAfterHeartbeats("change")).toMatchObject({ data: "live" });
      await follower.close();
    });

    it("does not delay writers or other subscribers", async () => {
      const key = group();
      const other = await Follower.open(at.client, { ...key, itemId: "last" });
      await other.sync();
      const { follower } = await stalled(at, key);
      await at.client.set({ ...key, itemId: "last", data: "received" });
      expect(await other.expectAfterHeartbeats("change")).toMatchObject({ data: "received" });
      await other.close();
      await follower.close();
    });
  });

  describe("a subscriber that falls behind beyond the log (G7)", () => {
    const at = openDoor(door, kind, { subscriberQueue: QUEUE, history: { maxChanges: 5 } });

    it("receives a fresh sync when it reads again, and continues (G3)", async () => {
      const key = group();
      const { follower, flow } = await stalled(at, key);
      flow();
      await follower.reach(CHANGES);
      expect(follower.segments).toBeGreaterThan(1);
      expect([...follower.state.keys()].toSorted()).toEqual(["i0", "i1", "i2", "i3", "i4"]);
      await at.client.set({ ...key, itemId: "live", data: "live" });
      expect(await follower.expectAfterHeartbeats("change")).toMatchObject({ data: "live" });
      await follower.close();
    });
  });

  describe("a subscriber that reads nothing for the stall timeout (G7)", () => {
    let skewMs = 0;
    const at = openDoor(door, kind, {
      subscriberQueue: QUEUE,
      history: { maxBytes: 64 * MiB },
      // Checks for stalls every 20 ms.
      heartbeatIntervalMs: 100,
      now: () => Date.now() + skewMs,
    });

    it("is closed with SLOW_SUBSCRIBER", async () => {
      const { follower, flow } = await stalled(at, group());
      // Repeated: the operating system may buffer more after the first time.
      const hurry = setInterval(() => (skewMs += 61_000), 50);
      await at.server.store.whenWatches(0);
      clearInterval(hurry);
      flow();
      expect(await follower.error()).toMatchObject({
        code: "resource_exhausted",
        reason: "SLOW_SUBSCRIBER",
        message: expect.stringMatching(/^.+\.$/),
      });
    });
  });
}
