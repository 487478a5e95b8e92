import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { memorySink } from "../support/checker/index.ts";
import { BridgeScene, type Manner, type SceneSocket } from "../support/long/bridge-scene.ts";
import { type ChildServer, startChild } from "../support/long/child-server.ts";
import { LONG, judge, seedOfRun } from "../support/long/judge.ts";
import { openFiles, residentBytes, untilFiles } from "../support/long/process-memory.ts";
import { random } from "../support/random.ts";

/*
 * Many sockets with five subscriptions each, a quarter of them stalled. The checker judges what all of
 * them saw, and the service has to let go of everything afterwards.
 *
 * The events per second are those written in all: changes, and some transient events. Each of them
 * concerns some three subscriptions, so about as many times that is delivered.
 */

const SECONDS = LONG ? 30 : 2;
const SOCKETS = LONG ? 2000 : 80;
const HEARTBEAT_MS = LONG ? 5000 : 500;
const STALL_MS = LONG ? 8000 : 600;
/** Has the C library give freed memory back, so that what is resident is what the service holds. */
const EAGER_ALLOCATOR = {
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: "65536",
  MALLOC_TRIM_THRESHOLD_: "65536",
};
/** How long it may take to give back what it held, in milliseconds. */
const GIVE_BACK_MS = LONG ? 60_000 : 10_000;
/** How often it serves before its memory is looked at. */
const WARM_UPS = LONG ? 3 : 1;
/** How often it is looked at: the heap of JavaScript shrinks after some collections only. */
const LOOKS = LONG ? 40 : 4;
const SIZE = {
  groups: LONG ? 2500 : 100,
  eventsPerSecond: LONG ? 5000 : 400,
  returnMs: STALL_MS / 3,
  // After the service has given up on them, and before it cuts them off.
  deafMs: 2 * STALL_MS + 2000,
};

/** Every fourth stalls, and a fifth of those in the middle of a snapshot, every other of them for good. */
function mannerOf(i: number): Manner {
  if (i % 4 !== 0) return "live";
  if (i % 20 !== 0) return "pausing";
  return i % 40 === 0 ? "deaf" : "returning";
}

/**
 * What the service holds when nobody is connected any more: the least of some looks. The heap is given back
 * to the system little by little, so it is looked at for longer while it is more than `enoughBytes`.
 */
async function atRest(server: ChildServer, files: number, looks: number, enoughBytes = Infinity) {
  await untilFiles(server.pid, files, 40_000);
  let least = await server.collect();
  const deadline = performance.now() + GIVE_BACK_MS;
  const isOver = (look: number) =>
    look >= looks && (least.rss < enoughBytes || performance.now() > deadline);
  for (let look = 1; !isOver(look); look++) {
    await sleep(50);
    const used = await server.collect();
    if (used.rss < least.rss) least = used;
  }
  return least;
}

/** Memory in use, for people. */
function memoryText({ rss, heapUsed, external }: NodeJS.MemoryUsage): string {
  const [resident, heap, beside] = [rss, heapUsed, external].map((bytes) =>
    Math.round(bytes / 2 ** 20),
  );
  return `${resident} MiB resident (${heap} in the heap, ${beside} beside it)`;
}

async function untilUpToDate(scene: BridgeScene, sockets: readonly SceneSocket[], final: boolean) {
  const heads = await scene.heads({ final });
  const deadline = performance.now() + 30_000;
  while (!sockets.every(({ client }) => client.isUpTo(heads))) {
    // Heartbeats tell those who follow items that nothing is left to come.
    if (performance.now() > deadline) throw new Error("not all heard of everything in time");
    await sleep(50);
  }
}

test(
  `of ${SOCKETS} sockets with five subscriptions each the live ones miss nothing, the stalled ones are served again or closed, and nothing of them stays (G2, G3, G5, G7)`,
  async () => {
    const seed = seedOfRun();
    const dice = random(seed);
    const sink = memorySink();
    const server = await startChild(
      {
        port: 0,
        store: { kind: "in_memory" },
        history: { maxChanges: 50, maxBytes: 64 * 1024 },
        heartbeatIntervalMs: HEARTBEAT_MS,
        stallTimeoutMs: STALL_MS,
      },
      { flags: ["--expose-gc"], env: EAGER_ALLOCATOR },
    );
    const scene = new BridgeScene(server.url, sink, dice, SIZE);
    await scene.fill();
    const files = await openFiles(server.pid);
    const fresh = await atRest(server, files, LOOKS);
    const manners = Array.from({ length: SOCKETS }, (_, i) => mannerOf(i));

    /** All of it, from the first socket to the last. */
    const serve = async (name: string, seconds: number, final: boolean) => {
      const sockets = await scene.open(name, manners);
      const startMs = performance.now();
      const events = await scene.traffic(seconds);
      const rate = Math.round((1000 * events) / (performance.now() - startMs));
      const peakBytes = await residentBytes(server.pid);
      for (const { client } of sockets) client.resume();
      const deaf = sockets.filter(({ manner }) => manner === "deaf");
      const codes = await Promise.all(deaf.map(({ client }) => client.closed));
      await untilUpToDate(scene, sockets, final);
      await Promise.all(sockets.map(({ client }) => client.close()));
      return { sockets, rate, peakBytes, codes };
    };
    // Where it begins: it has served as many before, in the same manners, so that all is loaded and sized.
    for (let i = 0; i < WARM_UPS; i++) await serve(`first${i}-`, SECONDS / WARM_UPS, false);
    const before = await atRest(server, files, LOOKS);

    const { sockets, rate, peakBytes, codes } = await serve("s", SECONDS, true);
    const after = await atRest(server, files, LOOKS, 1.1 * before.rss);
    expect(await server.stop()).toBe(0);

    console.info(
      `sockets: ${rate} events/s; ${memoryText(fresh)} before any, ${memoryText(before)} after the first, ${Math.round(peakBytes / 2 ** 20)} MiB at the end of the load, ${memoryText(after)} after the second`,
    );
    judge(
      "sockets",
      sink.records,
      { durable: true, expectEvents: true, heartbeatIntervalMs: HEARTBEAT_MS, slackMs: 5000 },
      seed,
    );
    // It gave up on those who took nothing in the middle of their snapshot, told why, and on no other.
    expect(new Set(codes)).toEqual(new Set([4430]));
    const lost = await Promise.all(
      sockets
        .filter(({ client }) => client.endedByService)
        .map(async ({ manner, client }) => [manner, await client.closed]),
    );
    for (const [manner, code] of lost)
      expect([manner, code]).toEqual([expect.stringMatching(/deaf|returning/), 4430]);
    if (LONG) expect(rate).toBeGreaterThan(0.9 * SIZE.eventsPerSecond);
    expect(after.rss).toBeLessThan(1.1 * before.rss);
  },
  (SECONDS * 3 + 300) * 1000,
);
