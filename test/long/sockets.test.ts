import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { memorySink } from "../support/checker/index.ts";
import { BridgeScene, type Behaviour, type SceneSocket } from "../support/long/bridge-scene.ts";
import { type ChildServer, startChild } from "../support/long/child-server.ts";
import { LONG, expectNoViolations, seedOfRun } from "../support/long/violations.ts";
import { openFiles, residentBytes, untilFiles } from "../support/long/process-memory.ts";
import { random } from "../support/random.ts";

/*
 * Many sockets with five subscriptions each, a quarter of them stalled. The checker verifies all
 * received frames, and the service must release everything afterwards.
 *
 * `eventsPerSecond` counts written events: changes, and some transient events. Each matches about
 * three subscriptions, so three times as many are delivered.
 */

const SECONDS = LONG ? 30 : 2;
const SOCKETS = LONG ? 2000 : 80;
const HEARTBEAT_MS = LONG ? 5000 : 500;
const STALL_MS = LONG ? 8000 : 600;
/**
 * Makes the C library return freed memory, so that resident memory reflects what the service holds.
 */
const EAGER_ALLOCATOR = {
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: "65536",
  MALLOC_TRIM_THRESHOLD_: "65536",
};
/** Longest time until the service has released its memory, in milliseconds. */
const RELEASE_MS = LONG ? 60_000 : 10_000;
/** Warm-up rounds before the memory is measured. */
const WARM_UPS = LONG ? 3 : 1;
/** Measurements: the JavaScript heap shrinks only after several collections. */
const SAMPLES = LONG ? 40 : 4;
const SIZE = {
  groups: LONG ? 2500 : 100,
  eventsPerSecond: LONG ? 5000 : 400,
  returnMs: STALL_MS / 3,
  // After the service has closed them, and before it resets their connections.
  stuckMs: 2 * STALL_MS + 2000,
};

/**
 * Every fourth socket stalls. A fifth of those stall in the middle of a snapshot, half of them
 * permanently.
 */
function behaviourOf(i: number): Behaviour {
  if (i % 4 !== 0) return "live";
  if (i % 20 !== 0) return "pausing";
  return i % 40 === 0 ? "stuck" : "returning";
}

/**
 * The memory of the service without connections: the minimum of several samples. The heap is
 * returned to the system gradually, so sampling continues while it exceeds `enoughBytes`.
 */
async function atRest(server: ChildServer, files: number, samples: number, enoughBytes = Infinity) {
  await untilFiles(server.pid, files, 40_000);
  let least = await server.collect();
  const deadline = performance.now() + RELEASE_MS;
  const isOver = (taken: number) =>
    taken >= samples && (least.rss < enoughBytes || performance.now() > deadline);
  for (let taken = 1; !isOver(taken); taken++) {
    await sleep(50);
    const used = await server.collect();
    if (used.rss < least.rss) least = used;
  }
  return least;
}

/** Formats memory use. */
function memoryText({ rss, heapUsed, external }: NodeJS.MemoryUsage): string {
  const [resident, heap, outside] = [rss, heapUsed, external].map((bytes) =>
    Math.round(bytes / 2 ** 20),
  );
  return `${resident} MiB resident (${heap} in the heap, ${outside} outside it)`;
}

async function untilUpToDate(scene: BridgeScene, sockets: readonly SceneSocket[], final: boolean) {
  const heads = await scene.heads({ final });
  const deadline = performance.now() + 30_000;
  while (!sockets.every(({ client }) => client.isUpTo(heads))) {
    // Heartbeats bring subscribers of items up to the head.
    if (performance.now() > deadline) throw new Error("not all sockets are up to date in time");
    await sleep(50);
  }
}

test(
  `of ${SOCKETS} sockets with five subscriptions each, live ones miss nothing, stalled ones recover or are closed, and all memory is released (G2, G3, G5, G7)`,
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
    const fresh = await atRest(server, files, SAMPLES);
    const behaviours = Array.from({ length: SOCKETS }, (_, i) => behaviourOf(i));

    /** One round, from opening the sockets to closing them. */
    const serve = async (name: string, seconds: number, final: boolean) => {
      const sockets = await scene.open(name, behaviours);
      const startMs = performance.now();
      const events = await scene.traffic(seconds);
      const rate = Math.round((1000 * events) / (performance.now() - startMs));
      const peakBytes = await residentBytes(server.pid);
      for (const { client } of sockets) client.resume();
      const stuck = sockets.filter(({ behaviour }) => behaviour === "stuck");
      const codes = await Promise.all(stuck.map(({ client }) => client.closed));
      await untilUpToDate(scene, sockets, final);
      await Promise.all(sockets.map(({ client }) => client.close()));
      return { sockets, rate, peakBytes, codes };
    };
    // The baseline follows warm-up rounds, when all code is loaded and all buffers are sized.
    for (let i = 0; i < WARM_UPS; i++) await serve(`first${i}-`, SECONDS / WARM_UPS, false);
    const before = await atRest(server, files, SAMPLES);

    const { sockets, rate, peakBytes, codes } = await serve("s", SECONDS, true);
    const after = await atRest(server, files, SAMPLES, 1.1 * before.rss);
    expect(await server.stop()).toBe(0);

    console.info(
      `sockets: ${rate} events/s; ${memoryText(fresh)} before any, ${memoryText(before)} after the first, ${Math.round(peakBytes / 2 ** 20)} MiB at the end of the load, ${memoryText(after)} after the second`,
    );
    expectNoViolations(
      "sockets",
      sink.records,
      { durable: true, expectEvents: true, heartbeatIntervalMs: HEARTBEAT_MS, slackMs: 5000 },
      seed,
    );
    // The service closed only sockets that stalled in the middle of their snapshot.
    expect(new Set(codes)).toEqual(new Set([4430]));
    const lost = await Promise.all(
      sockets
        .filter(({ client }) => client.endedByService)
        .map(async ({ behaviour, client }) => [behaviour, await client.closed]),
    );
    for (const [behaviour, code] of lost)
      expect([behaviour, code]).toEqual([expect.stringMatching(/stuck|returning/), 4430]);
    if (LONG) expect(rate).toBeGreaterThan(0.9 * SIZE.eventsPerSecond);
    expect(after.rss).toBeLessThan(1.1 * before.rss);
  },
  (SECONDS * 3 + 300) * 1000,
);
