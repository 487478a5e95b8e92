import { once, setMaxListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Position } from "../../src/core/position.ts";
import { HeldItems, type History, createRecorder, memorySink } from "../support/checker/index.ts";
import { type ChildServer, freePort, startChild } from "../support/long/child-server.ts";
import { LONG, expectNoViolations, seedOfRun } from "../support/long/violations.ts";
import { REVOCABLE_AUTH, createRevoker } from "../support/long/revoker.ts";
import { createProgress } from "../support/long/progress.ts";
import { connect, createWriter, follow, itemNames } from "../support/long/traffic.ts";
import { list } from "../support/long/reads.ts";
import { expectExactCounters, openUpdatedItems } from "../support/long/updated-items.ts";
import { random } from "../support/random.ts";

/*
 * Verifies G6 by kill -9 under load: no acknowledged write is lost, no subscriber misses one.
 * Meanwhile subscriptions are ended (G11).
 */

const CYCLES = LONG ? 20 : 3;
const CALLS_PER_CYCLE = LONG ? 2000 : 150;
const WRITERS = 64;
const GROUPS = Array.from({ length: 8 }, (_, i) => `g${i}`);
const ITEMS = itemNames(20);
const HEARTBEAT_MS = 1000;
const REVOKE_EVERY_MS = LONG ? 100 : 50;
const CHILD = fileURLToPath(new URL("../support/long/revocable-child.mjs", import.meta.url));
/** Newest items in the snapshots of a third of the subscribers. */
const WINDOW = 5;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-crash-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Run {
  readonly maxChanges: number | undefined;
  readonly cycles: number;
  /** Least number of acknowledged writes between two kills. */
  readonly callsPerCycle: number;
  /** Longest time that a subscriber is offline before it resumes, in milliseconds. */
  readonly offlineMs: number;
  /** Most acknowledged writes while it is offline. */
  readonly offlineCalls?: number;
}

async function crashUnderLoad(
  { maxChanges, cycles, callsPerCycle, offlineMs, offlineCalls = 0 }: Run,
  seed: number,
) {
  const dice = random(seed);
  const sink = memorySink();
  const progress = createProgress(sink);
  const recorder = (client: string) => createRecorder({ client, sink: progress });
  const port = await freePort();
  const options = {
    port,
    store: { kind: "file_based", folder: join(folder, "data") } as const,
    auth: REVOCABLE_AUTH,
    heartbeatIntervalMs: HEARTBEAT_MS,
    history: maxChanges === undefined ? {} : { maxChanges, maxBytes: 1 << 30 },
  };
  const refused = join(folder, "refused");
  const start = () => startChild({ options, refused }, { script: CHILD });
  let server: ChildServer = await start();
  const revoker = await createRevoker({
    urls: () => [server.url],
    dice: random(dice.below(2 ** 31)),
    refused,
    everyMs: REVOKE_EVERY_MS,
  });
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  const ended = once(over.signal, "abort");
  const { url } = server;
  for (const group of GROUPS)
    await openUpdatedItems(connect(url), recorder(`open-${group}`), group, ITEMS);

  const writers = Array.from({ length: WRITERS }, async (_, i) => {
    const name = `w${i}`;
    const writer = createWriter({
      calls: connect(url),
      recorder: recorder(name),
      dice: random(dice.below(2 ** 31)),
      groups: GROUPS,
      items: ITEMS,
      name,
      retry: i % 2 === 0 ? { calls: () => connect(url), signal: over.signal } : undefined,
    });
    while (!over.signal.aborted) {
      const startedMs = performance.now();
      await writer.step();
      // A call fails at once when the server is down: does not hammer its port.
      if (performance.now() - startedMs < 2) await sleep(10);
    }
  });

  const subscribers = Array.from({ length: 24 }, async (_, i) => {
    const name = `r${i}`;
    const own = random(dice.below(2 ** 31));
    const { subscribe } = connect(url, await revoker.authorizationOf(name));
    const group = GROUPS[i % GROUPS.length] as string;
    const item = i >= 16 ? own.pick([...ITEMS.set, ...ITEMS.updated]) : undefined;
    // Half of those of each group, and half of those of items.
    const deltas = Math.floor(i / GROUPS.length) % 2 === i % 2 ? new HeldItems() : undefined;
    let resumeFrom: Position | undefined;
    while (!over.signal.aborted) {
      resumeFrom = await follow({
        subscribe,
        recorder: revoker.recorderOf(
          name,
          recorder(`${name}-${resumeFrom?.revision ?? "new"}-${own.next()}`),
        ),
        group,
        item,
        resumeFrom,
        deltas,
        window: i % 3 === 0 && item === undefined ? WINDOW : undefined,
        signal: over.signal,
      });
      if (over.signal.aborted) break;
      await sleep(own.below(offlineMs));
      // Long enough for the log of its group to be trimmed beyond its position.
      await Promise.race([progress.calls(own.below(offlineCalls)), ended]);
    }
  });

  const revoking = revoker.run(over.signal);
  for (let cycle = 0; cycle < cycles; cycle++) {
    await progress.calls(callsPerCycle);
    await sleep(dice.below(100));
    await server.kill();
    server = await start();
  }
  await progress.calls(callsPerCycle);
  over.abort();
  await Promise.all([...writers, ...subscribers, revoking]);

  const client = connect(url);
  for (const group of GROUPS) await list(client, recorder(`final-${group}`), group, true);

  await expectExactCounters(client, sink.records, GROUPS, ITEMS);
  expect(await server.stop()).toBe(0);
  console.info(`crash orders: ${revoker.summary}`);
  expect(revoker.ended).toBeGreaterThan(0);
  return sink.records;
}

test(
  `after ${CYCLES} kills under load, no acknowledged write is missing, and resuming subscribers receive each change once, unless their subscriptions are ended (G3, G4, G6, G11)`,
  async () => {
    const seed = seedOfRun();
    const history = await crashUnderLoad(
      { maxChanges: 1_000_000, cycles: CYCLES, callsPerCycle: CALLS_PER_CYCLE, offlineMs: 300 },
      seed,
    );
    expectNoViolations(
      "crash, all history kept",
      history,
      { durable: true, expectResume: true },
      seed,
    );
  },
  LONG ? 600_000 : 60_000,
);

test(
  "at the default retention, subscribers that were offline too long receive a fresh sync (G4, G6)",
  async () => {
    const seed = seedOfRun();
    // The log of a group keeps a fraction of the writes while a subscriber is offline.
    const maxChanges = LONG ? undefined : 5;
    const run = {
      maxChanges,
      cycles: LONG ? 5 : 1,
      callsPerCycle: LONG ? 8000 : 150,
      offlineMs: LONG ? 1000 : 500,
      offlineCalls: LONG ? 16_000 : 0,
    };
    const history = await crashUnderLoad(run, seed);
    expectNoViolations("crash, default retention", history, { durable: true }, seed);
    const kinds = firstFramesOfResumes(history);
    expect(kinds.has("sync"), "some subscriber resumed too late").toBe(true);
  },
  LONG ? 600_000 : 60_000,
);

/** Kinds of the first frames of attempts with a position. */
function firstFramesOfResumes(history: History): Set<string> {
  const waiting = new Set<string>();
  const kinds = new Set<string>();
  for (const record of history) {
    if (record.kind === "subscribe" && record.resumeFrom !== undefined)
      waiting.add(record.subscription);
    else if (record.kind === "frame" && waiting.delete(record.subscription))
      kinds.add(record.frame.type);
  }
  return kinds;
}
