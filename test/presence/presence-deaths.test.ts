import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { openProxy } from "../support/doors/proxy.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { startLeaveChild } from "../support/gates/leave-child.ts";
import { openClient } from "../support/lifetimes/socket-client.ts";
import { startPresentChild } from "../support/presence/present-child.ts";
import { joinWith, presenceOf, watchPresence } from "../support/presence/presence-watch.ts";
import { connect } from "../bridge/line.ts";
import { of } from "../bridge/notices.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { redisProgram } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

/** How long sessions wait for their clients, in milliseconds. */
const TIMEOUT_MS = 600;
const EARLY_MS = 5;
/** Time for a test of several processes. */
const LONG_MS = 30_000;

const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });

async function folderForTest(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-presence-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const STORES = {
  memory: async () => ({ kind: "in_memory" }) as const,
  disk: async () => ({ kind: "file_based", folder: await folderForTest() }) as const,
  redis: async () => {
    const { url } = await sharedRedis();
    const keyPrefix = randomPrefix();
    return { kind: "redis", url, keyPrefix, registryTimeoutMs: 2000 } as const;
  },
};
const start = async (store: Awaited<ReturnType<(typeof STORES)[keyof typeof STORES]>>) =>
  startLeaveChild({ store, gate: false, presenceTimeoutMs: TIMEOUT_MS });

describe.each(Object.entries(STORES))("presence, on the adapter %s", async (kind, storeOf) => {
  const redis = kind === "redis" ? await redisProgram() : {};

  it(
    "is deleted after the timeout when the process of its client is killed, hangs, or is cut off silently",
    async ({ skip }) => {
      if ("missing" in redis) return skip(String(redis.missing));
      const server = await createServer({
        port: 0,
        store: await storeOf(),
        presenceTimeoutMs: TIMEOUT_MS,
      });
      onTestFinished(() => server.close());
      const { url } = server;
      const proxy = await openProxy(server.port);
      onTestFinished(() => proxy.close());
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const [killed, still, silent] = await Promise.all([
        startPresentChild(url, group),
        startPresentChild(url, group),
        startPresentChild(proxy.url, group),
      ]);
      const stays = await openClient(url);
      await joinWith(stays, group, {});
      const gone = [killed.connectionId, still.connectionId, silent.connectionId];
      await watch.until(stays.connectionId, ...gone);
      killed.signal("SIGKILL");
      still.signal("SIGSTOP");
      proxy.stall();
      const diedMs = performance.now();
      await watch.until(stays.connectionId, still.connectionId, silent.connectionId);
      expect(performance.now() - diedMs).toBeGreaterThanOrEqual(TIMEOUT_MS - EARLY_MS);
      const goneMs = await watch.until(stays.connectionId);
      expect(goneMs - diedMs).toBeGreaterThanOrEqual(TIMEOUT_MS - EARLY_MS);
      expect(goneMs - diedMs).toBeLessThan(2 * TIMEOUT_MS + 1000);
      for (const id of gone) expect(watch.causes(id)).toEqual(["disconnected"]);
    },
    LONG_MS,
  );
});

it.each([
  ["memory", "SIGKILL"],
  ["disk", "SIGKILL"],
  ["disk", "SIGTERM"],
] as const)(
  "presence beside the adapter %s begins a new epoch when its only server starts again after %s (G4)",
  async (adapter, signal) => {
    const store = await STORES[adapter]();
    const first = await start(store);
    const group = newGroup();
    const ann = await openClient(first.url);
    await joinWith(ann, group, {});
    const watch = await watchPresence(first.url, group);
    const { epoch, revision } = watch.line.frames[0] ?? {};
    await first.end(signal);
    const second = await start(store);
    const line = await connect(second.url, "/");
    line.join({ ...presenceOf(group), subscriptionId: "w", resume: { epoch, revision } });
    const frames = await line.count(1);
    expect(of(frames, "sync")).toMatchObject([{ event: { data: [] } }]);
    const again = await openClient(second.url, ann);
    expect(again.resumed).toBe(false);
    await joinWith(again, group, {});
    await line.until("it", (all) => of(all, "create").some(({ id }) => id === again.connectionId));
    expect(line.frames.at(-1)?.epoch).not.toBe(epoch);
  },
  LONG_MS,
);
