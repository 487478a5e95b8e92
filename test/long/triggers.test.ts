import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ChildServer, freePort, startChild } from "../support/long/child-server.ts";
import { LONG, seedOfRun } from "../support/long/violations.ts";
import { type Client, connect } from "../support/long/traffic.ts";
import { random } from "../support/random.ts";

/*
 * Trigger functions with many changes of one group: compares the calls that a child process logs to
 * a file with the writes.
 */

const CHANGES = LONG ? 10_000 : 600;
const KILLS = LONG ? 12 : 2;
const MAX_DELAY_MS = LONG ? 3 : 2;
const WRITERS = 16;
const CHILD = fileURLToPath(new URL("../support/triggers/trigger-child.mjs", import.meta.url));
const GROUP = { streamName: "long", groupId: "one" };

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-triggers-"));
  file = join(folder, "calls");
  await appendFile(file, "");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function start(run: number, port: number, store: object): Promise<ChildServer> {
  const options = { port, store };
  return startChild({ options, file, run, maxDelayMs: MAX_DELAY_MS }, { script: CHILD });
}

/** The calls of each process, in order. */
async function calls(): Promise<Map<number, number[]>> {
  const byRun = new Map<number, number[]>();
  for (const line of (await readFile(file, "utf8")).split("\n").filter((each) => each !== "")) {
    const [run = 0, revision = 0] = line.split(" ").map(Number);
    byRun.set(run, [...(byRun.get(run) ?? []), revision]);
  }
  return byRun;
}

/** Waits until the function was called with the last change. */
async function untilCalledWith(revision: number): Promise<Map<number, number[]>> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const tail = (await readFile(file, "utf8")).trimEnd().split("\n").at(-1) ?? "";
    if (Number(tail.split(" ")[1]) === revision) return calls();
    if (performance.now() > deadline) throw new Error(`the last call was ${tail}, not ${revision}`);
    await sleep(20);
  }
}

/** Writes until `left.count` changes are acknowledged, with retries. */
async function write(client: Client, left: { count: number }): Promise<void> {
  while (left.count > 0) {
    left.count--;
    const data = fromJson(ValueSchema, left.count);
    try {
      await client.set({ ...GROUP, itemId: `i${left.count % 10}`, data });
    } catch {
      left.count++;
      await sleep(20);
    }
  }
}

async function headOf(client: Client): Promise<number> {
  const { position } = await client.list({ ...GROUP, pageSize: 1 });
  return Number(position?.revision);
}

test.each([
  ["in memory", { kind: "in_memory" }],
  ["on disk", undefined],
])(
  `a trigger %s is called with each of ${CHANGES} changes of a group once, in revision order`,
  async (name, store) => {
    const server = await start(1, 0, store ?? { kind: "file_based", folder: join(folder, "data") });
    const client = connect(server.url);
    const left = { count: CHANGES };
    await Promise.all(Array.from({ length: WRITERS }, () => write(client, left)));
    const byRun = await untilCalledWith(await headOf(client));
    expect(await server.stop()).toBe(0);
    const revisions = byRun.get(1) ?? [];
    console.info(`triggers ${name}: ${CHANGES} changes, ${revisions.length} calls`);
    expect(revisions).toEqual(Array.from({ length: CHANGES }, (_, i) => i + 1));
  },
  240_000,
);

test(`a trigger on disk is called with each change at least once, in order, through ${KILLS} kills (G1, G6)`, async () => {
  const dice = random(seedOfRun());
  const port = await freePort();
  const store = { kind: "file_based", folder: join(folder, "data") };
  let server = await start(1, port, store);
  const client = connect(server.url);
  const left = { count: CHANGES };
  let isWriting = true;
  const writing = Promise.all(Array.from({ length: WRITERS }, () => write(client, left))).finally(
    () => (isWriting = false),
  );
  for (let kill = 1; kill <= KILLS; kill++) {
    await sleep((LONG ? 400 : 100) + dice.below(LONG ? 1200 : 200));
    await server.kill();
    server = await start(kill + 1, port, store);
  }
  await writing;
  expect(isWriting).toBe(false);
  const head = await headOf(client);
  const byRun = await untilCalledWith(head);
  expect(await server.stop()).toBe(0);

  let reached = 0;
  let total = 0;
  for (const [run, revisions] of [...byRun].sort(([a], [b]) => a - b)) {
    const [first = 0] = revisions;
    // A process may repeat calls of the previous one, but skips none.
    expect(first, `process ${run}`).toBeLessThanOrEqual(reached + 1);
    expect(revisions).toEqual(Array.from(revisions, (_, i) => first + i));
    reached = Math.max(reached, revisions.at(-1) ?? 0);
    total += revisions.length;
  }
  console.info(
    `triggers with ${KILLS} kills: ${head} changes, ${total} calls, ${total - head} of them repeated`,
  );
  expect(reached).toBe(head);
  expect(head).toBeGreaterThanOrEqual(CHANGES);
}, 240_000);
