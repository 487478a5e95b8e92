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
import { DISK, MEMORY, REDIS } from "../support/hosts/service-stores.ts";
import type { StoreOptions } from "../../src/server/open-store.ts";
import { redisProgram } from "../support/redis/required-redis.ts";

/** How long sessions wait for their clients, in milliseconds. */
const TIMEOUT_MS = 600;
const EARLY_MS = 5;
/** Time for a test of several processes. */
const LONG_MS = 30_000;

const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });

/** A process that was killed leaves a fleet soon. */
const FLEET = { registryTimeoutMs: 2000 };
const start = async (store: StoreOptions) =>
  startLeaveChild({ store, gate: false, presenceTimeoutMs: TIMEOUT_MS });

describe.each([MEMORY, DISK, REDIS])("presence, on the adapter $name", async ({ name, open }) => {
  const redis = name === "redis" ? await redisProgram() : {};

  it(
    "is deleted after the timeout when the process of its client is killed, hangs, or is cut off silently",
    async ({ skip }) => {
      if ("missing" in redis) return skip(String(redis.missing));
      const server = await createServer({
        port: 0,
        store: await open(FLEET),
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
  { adapter: MEMORY, signal: "SIGKILL" },
  { adapter: DISK, signal: "SIGKILL" },
  { adapter: DISK, signal: "SIGTERM" },
] as const)(
  "presence beside the adapter $adapter.name begins a new epoch when its only server starts again after $signal (G4)",
  async ({ adapter, signal }) => {
    const store = await adapter.open();
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
