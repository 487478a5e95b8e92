import { expect, it, onTestFinished } from "vitest";
import { type Server, createServer } from "millrace/server";
import { of } from "../bridge/notices.ts";
import { type LeaveChild, startLeaveChild } from "../support/gates/leave-child.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { openClient } from "../support/lifetimes/socket-client.ts";
import { changeTo, joinWith, watchPresence } from "../support/presence/presence-watch.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

/** Time for a test of several processes. */
const LONG_MS = 60_000;
/** How long sessions wait for their clients, in milliseconds. */
const TIMEOUT_MS = 1000;
/** Member timeout of the fleet, in milliseconds. */
const REGISTRY_TIMEOUT_MS = 2000;

const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });

async function newFleet(redis?: { readonly url: string }) {
  const { url } = redis ?? (await sharedRedis());
  const keyPrefix = randomPrefix();
  const registryTimeoutMs = REGISTRY_TIMEOUT_MS;
  const store = { kind: "redis", url, keyPrefix, registryTimeoutMs } as const;
  const presenceTimeoutMs = TIMEOUT_MS;
  return {
    /** Starts a member in this process. */
    async start(): Promise<Server> {
      const server = await createServer({ port: 0, store, presenceTimeoutMs });
      onTestFinished(() => server.close());
      return server;
    },
    /** Starts a member in a process of its own. */
    startChild: async (): Promise<LeaveChild> =>
      startLeaveChild({ store, gate: false, presenceTimeoutMs }),
  };
}

describeWithRedis("presence in a fleet", () => {
  it(
    "is shared by all processes, and stays as it is when a client moves to another one",
    async () => {
      const { start } = await newFleet();
      const [a, b] = await Promise.all([start(), start()]);
      const group = newGroup();
      const watch = await watchPresence(b.url, group);
      const before = await openClient(a.url);
      await joinWith(before, group, { name: "Ann" });
      const shown = await watch.untilShown(before.connectionId, { name: "Ann" });
      const after = await openClient(b.url, before);
      expect(after).toMatchObject({ resumed: true, connectionId: before.connectionId });
      await joinWith(after, group, { name: "Ann" });
      const lost = await openClient(a.url);
      await joinWith(lost, group, {});
      lost.line.socket.terminate();
      await watch.until(before.connectionId, lost.connectionId);
      // The timeout of the move has passed.
      await watch.until(before.connectionId);
      expect(watch.shown().get(before.connectionId)).toEqual(shown);
      expect(watch.changes()).toEqual(["create", "create", "delete"]);
      changeTo(after, { name: "Anna" });
      const changed = await watch.untilShown(before.connectionId, { name: "Anna" });
      expect(changed).toEqual({ ...shown, data: { name: "Anna" } });
      after.line.socket.close();
      await watch.until();
      expect(watch.causes(before.connectionId)).toEqual(["disconnected"]);
    },
    LONG_MS,
  );

  it(
    "is deleted when its client comes back at another process and does not join again, or without presence",
    async () => {
      const { start } = await newFleet();
      const [a, b] = await Promise.all([start(), start()]);
      const [left, silent, kept] = [newGroup(), newGroup(), newGroup()];
      const [ofLeft, ofSilent, ofKept] = await Promise.all(
        [left, silent, kept].map((group) => watchPresence(b.url, group)),
      );
      const before = await openClient(a.url);
      const id = before.connectionId;
      for (const [name, group] of Object.entries({ left, silent, kept }))
        await joinWith(before, group, {}, name);
      const after = await openClient(b.url, before);
      await joinWith(after, silent, undefined, "silent");
      await joinWith(after, kept, {}, "kept");
      await Promise.all([ofLeft?.until(), ofSilent?.until()]);
      expect(ofKept?.shown().has(id)).toBe(true);
      expect(ofKept?.changes()).toEqual(["create"]);
    },
    LONG_MS,
  );

  it(
    "is deleted after the process of its client was killed, unless the client comes back in time",
    async () => {
      const { startChild } = await newFleet();
      const [killed, other] = await Promise.all([startChild(), startChild()]);
      const group = newGroup();
      const watch = await watchPresence(other.url, group);
      const [kept, lost] = [await openClient(killed.url), await openClient(killed.url)];
      await joinWith(kept, group, {});
      await joinWith(lost, group, {});
      await watch.until(kept.connectionId, lost.connectionId);
      await killed.end("SIGKILL");
      const killedMs = performance.now();
      const after = await openClient(other.url, kept);
      expect(after.resumed).toBe(true);
      await joinWith(after, group, {});
      const goneMs = await watch.until(kept.connectionId);
      expect(goneMs - killedMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
      expect(watch.changes()).toEqual(["create", "create", "delete"]);
      after.line.socket.close();
      await watch.until();
    },
    LONG_MS,
  );

  it(
    "is stored again, with its time, after Redis has lost all data, though its client does nothing",
    async () => {
      const redis = await startRedis();
      onTestFinished(async () => redis.dispose());
      const { start } = await newFleet(redis);
      const [a, b] = await Promise.all([start(), start()]);
      const group = newGroup();
      const ann = await openClient(a.url);
      await joinWith(ann, group, { name: "Ann" });
      const watch = await watchPresence(b.url, group);
      const shown = await watch.untilShown(ann.connectionId, { name: "Ann" });
      await redis.command("FLUSHALL");
      await watch.line.until("a new state", (frames) => of(frames, "sync").length > 1);
      expect(await watch.untilShown(ann.connectionId, { name: "Ann" })).toEqual(shown);
      expect(of(ann.line.frames, "welcome")).toHaveLength(1);
    },
    LONG_MS,
  );

  it(
    "survives a restart of the whole fleet if its client comes back, and is deleted otherwise",
    async () => {
      const { startChild } = await newFleet();
      const first = await startChild();
      const group = newGroup();
      const [kept, lost] = [await openClient(first.url), await openClient(first.url)];
      await joinWith(kept, group, { n: 1 });
      await joinWith(lost, group, { n: 2 });
      await first.end("SIGTERM");
      const second = await startChild();
      const watch = await watchPresence(second.url, group);
      const after = await openClient(second.url, kept);
      expect(after).toMatchObject({ resumed: true, connectionId: kept.connectionId });
      await joinWith(after, group, { n: 1 });
      await watch.until(kept.connectionId);
      after.line.socket.close();
      await watch.until();
    },
    LONG_MS,
  );
});
