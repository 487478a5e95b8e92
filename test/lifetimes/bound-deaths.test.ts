import { createServer } from "millrace/server";
import { describe, expect, it, onTestFinished } from "vitest";
import { startLeaveChild } from "../support/gates/leave-child.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { startClientChild } from "../support/lifetimes/client-child.ts";
import { openClient, watchGroup } from "../support/lifetimes/socket-client.ts";
import { DISK, MEMORY, REDIS } from "../support/hosts/service-stores.ts";
import { redisProgram } from "../support/redis/required-redis.ts";

/** How long sessions wait for their clients, in milliseconds. */
const TIMEOUT_MS = 600;
const EARLY_MS = 5;
/** Time for a test of several processes. */
const LONG_MS = 30_000;

const newGroup = () => ({ streamName: "cursors", groupId: uniqueName("g") });

/** A process that was killed leaves a fleet soon. */
const FLEET = { registryTimeoutMs: 2000 };
describe.each([MEMORY, DISK, REDIS])("an item, on the adapter $name", async ({ name, open }) => {
  const redis = name === "redis" ? await redisProgram() : {};

  it(
    "is deleted after the timeout when the process of its client is killed, or hangs",
    async ({ skip }) => {
      if ("missing" in redis) return skip(String(redis.missing));
      const store = await open(FLEET);
      const server = await createServer({ port: 0, store, presenceTimeoutMs: TIMEOUT_MS });
      onTestFinished(() => server.close());
      const { url } = server;
      const group = newGroup();
      const watch = await watchGroup(url, group);
      const [killed, still] = await Promise.all([
        startClientChild(url, group, "killed"),
        startClientChild(url, group, "still"),
      ]);
      const left = await openClient(url);
      await left.call("Set", { ...group, itemId: "stays", data: 1, whileConnected: true });
      await watch.until("killed", "stays", "still");
      killed("SIGKILL");
      const killedMs = performance.now();
      await watch.untilDeleted("killed");
      expect(performance.now() - killedMs).toBeGreaterThanOrEqual(TIMEOUT_MS - EARLY_MS);
      still("SIGSTOP");
      const stillMs = performance.now();
      const goneMs = await watch.until("stays");
      expect(goneMs - stillMs).toBeGreaterThanOrEqual(TIMEOUT_MS - EARLY_MS);
      expect(goneMs - stillMs).toBeLessThan(2 * TIMEOUT_MS + 1000);
      for (const id of ["killed", "still"]) expect(watch.causes(id)).toEqual(["disconnected"]);
    },
    LONG_MS,
  );
});

it(
  "an item on disk is deleted when its only server starts again after a kill, since no session survives",
  async () => {
    const store = await DISK.open();
    const start = async () =>
      startLeaveChild({ store, gate: false, presenceTimeoutMs: TIMEOUT_MS });
    const first = await start();
    const group = newGroup();
    const ann = await openClient(first.url);
    for (const [itemId, whileConnected] of [
      ["bound", true],
      ["stays", false],
    ] as const)
      await ann.call("Set", { ...group, itemId, data: 1, whileConnected });
    await first.end("SIGKILL");
    const second = await start();
    const watch = await watchGroup(second.url, group);
    await watch.until("stays");
    expect(await openClient(second.url, { session: ann.session })).toMatchObject({
      resumed: false,
    });
  },
  LONG_MS,
);
