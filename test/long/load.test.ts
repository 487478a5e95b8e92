import { setMaxListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Position } from "../../src/core/position.ts";
import { HeldItems, createRecorder, memorySink } from "../support/checker/index.ts";
import { startChild } from "../support/long/child-server.ts";
import { LONG, expectNoViolations, seedOfRun } from "../support/long/violations.ts";
import { createProgress } from "../support/long/progress.ts";
import { createPipe } from "../support/long/pipe.ts";
import { type RawGrpc, createRawGrpc } from "../support/long/raw-grpc.ts";
import { createRawSubscribe } from "../support/long/raw-subscribe.ts";
import { connect, createWriter, follow, itemNames } from "../support/long/traffic.ts";
import { get, list } from "../support/long/reads.ts";
import { expectExactCounters, openUpdatedItems } from "../support/long/updated-items.ts";
import { random } from "../support/random.ts";

/* Many writers, and subscribers that join, leave and stall at random, verified by the checker. */

const SECONDS = LONG ? 30 : 2;
const GROUPS = Array.from({ length: 20 }, (_, i) => `g${i}`);
const WRITERS = LONG ? 200 : 50;
const SUBSCRIBERS = LONG ? 200 : 50;
const WRITES_PER_SECOND = LONG ? 2000 : 400;
const ITEMS = itemNames(15);
/** Newest items in the snapshots of a third of the subscribers. */
const WINDOW = 5;
/** Connections that the clients share: each carries about as many subscriptions as a browser's. */
const CONNECTIONS = 20;

async function load(
  store: { kind: "in_memory" } | { kind: "file_based"; folder: string },
  seed: number,
) {
  const dice = random(seed);
  const sink = memorySink();
  const progress = createProgress(sink);
  const recorder = (client: string) => createRecorder({ client, sink: progress });
  const server = await startChild({ port: 0, store, heartbeatIntervalMs: 2000 });
  const clients = Array.from({ length: CONNECTIONS }, () => connect(server.url));
  const clientOf = (i: number) => clients[i % CONNECTIONS] as (typeof clients)[number];
  for (const group of GROUPS)
    await openUpdatedItems(clientOf(0), recorder(`open-${group}`), group, ITEMS);
  const raws = Array.from({ length: CONNECTIONS }, () => createRawGrpc(server.url));
  const grpcOf = (i: number) => raws[i % CONNECTIONS] as RawGrpc;
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  let endMs = Infinity;
  /** The current followers, and their positions. */
  const following = new Set<{ group: string; revision: number; left: boolean }>();
  let leaving = true;

  const writers = Array.from({ length: WRITERS }, async (_, i) => {
    const name = `w${i}`;
    const own = random(dice.below(2 ** 31));
    // Nine in ten writers use a write stream, as is usual at this rate.
    const pipe = i % 10 === 0 ? undefined : createPipe(grpcOf(i));
    const writer = createWriter({
      calls: pipe ?? clientOf(i),
      pipe: pipe !== undefined,
      recorder: recorder(name),
      dice: own,
      groups: GROUPS,
      items: ITEMS,
      name,
    });
    const periodMs = (1000 * WRITERS) / WRITES_PER_SECOND;
    let nextMs = performance.now() + own.below(periodMs);
    while (performance.now() < endMs) {
      await sleep(Math.max(0, nextMs - performance.now()));
      // A writer behind schedule does not catch up in a burst: the rate is an upper bound.
      nextMs = Math.max(nextMs + periodMs, performance.now() - 1000);
      await writer.step();
    }
    pipe?.close();
  });

  const readers = Array.from({ length: 4 }, async (_, i) => {
    const own = random(dice.below(2 ** 31));
    for (let count = 0; performance.now() < endMs; count++) {
      const group = own.pick(GROUPS);
      const record = recorder(`reader${i}-${count}`);
      if (own.chance(0.5)) await list(clientOf(i), record, group, false);
      else await get(clientOf(i), record, group, own.pick(ITEMS.set));
      await sleep(own.below(100));
    }
  });

  const subscribers = Array.from({ length: SUBSCRIBERS }, async (_, i) => {
    const own = random(dice.below(2 ** 31));
    let known:
      | {
          readonly group: string;
          readonly item: string | undefined;
          readonly position: Position | undefined;
          readonly deltas: HeldItems | undefined;
        }
      | undefined;
    for (let count = 0; !over.signal.aborted; count++) {
      const resumes = known !== undefined && own.chance(0.6);
      const group: string = resumes ? (known?.group as string) : own.pick(GROUPS);
      const anyItem = own.pick([...ITEMS.set, ...ITEMS.updated]);
      const item = resumes ? known?.item : own.chance(0.3) ? anyItem : undefined;
      const some = i % 2 === 0 ? new HeldItems() : undefined;
      const deltas = resumes ? known?.deltas : some;
      const slow = own.chance(0.2);
      const leave = new AbortController();
      const progress = { group, revision: 0, left: false };
      const timer = setTimeout(
        () => {
          if (!leaving) return;
          progress.left = true;
          leave.abort();
        },
        200 + own.below(LONG ? 10_000 : 1500),
      );
      following.add(progress);
      const signal = AbortSignal.any([leave.signal, over.signal]);
      const position = await follow({
        // Most use a cheap client, which leaves the CPU to the service; some use the framework's.
        subscribe: i % 10 === 0 ? clientOf(i).subscribe : createRawSubscribe(grpcOf(i)),
        recorder: recorder(`s${i}-${count}`),
        group,
        item,
        resumeFrom: resumes ? known?.position : undefined,
        slow,
        deltas,
        window: i % 3 === 0 && item === undefined ? WINDOW : undefined,
        signal,
        onFrame: async (position) => {
          progress.revision = position?.revision ?? progress.revision;
          if (slow && own.chance(0.02))
            await sleep(own.below(2000), undefined, { signal }).catch(() => {});
        },
      });
      clearTimeout(timer);
      following.delete(progress);
      known = { group, item, position, deltas };
      if (!over.signal.aborted) await sleep(own.below(200));
    }
  });

  await Promise.all([sleep(SECONDS * 1000), progress.calls(LONG ? 0 : 300)]);
  endMs = 0;
  await Promise.all([...writers, ...readers]);
  // Waits for leaving followers to leave; the others stay until they have received every change.
  leaving = false;
  while (Array.from(following).some(({ left }) => left)) await sleep(5);
  const client = connect(server.url);
  const heads = new Map<string, number>();
  for (const group of GROUPS) {
    const position = await list(client, recorder(`final-${group}`), group, true);
    heads.set(group, position.revision);
  }
  while (Array.from(following).some(({ group, revision }) => revision < (heads.get(group) ?? 0)))
    await sleep(20);
  over.abort();
  await Promise.all(subscribers);
  await expectExactCounters(client, sink.records, GROUPS, ITEMS);
  expect(await server.stop()).toBe(0);
  return sink.records;
}

describe.each(["in_memory", "file_based"] as const)("a service with store %s", (kind) => {
  test(
    `delivers each change of ${WRITERS} writers once and in order to ${SUBSCRIBERS} subscribers that join, leave and stall (G1 to G5, G7, G10)`,
    async () => {
      const seed = seedOfRun();
      const folder = await mkdtemp(join(tmpdir(), "millrace-load-"));
      try {
        const history = await load(kind === "in_memory" ? { kind } : { kind, folder }, seed);
        expectNoViolations(
          `load, ${kind}`,
          history,
          { durable: true, heartbeatIntervalMs: 2000, slackMs: 3000 },
          seed,
        );
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    (SECONDS + 60) * 1000,
  );
});
