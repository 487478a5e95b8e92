import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FunctionError } from "millrace";
import { type Worker, registerWorker } from "millrace/worker";
import { afterEach, beforeEach, expect, test } from "vitest";
import { joinedScript } from "../support/children/joined-script.ts";
import { startChild } from "../support/long/child-server.ts";
import { LONG } from "../support/long/violations.ts";

/*
 * Workers that are killed under load. Every call returns, or fails with `invocation_stopped`,
 * within its timeout; other workers take over; triggers lose no event and keep their order.
 */

const SECONDS = LONG ? 20 : 3;
const CALLS_PER_SECOND = LONG ? 500 : 200;
const KILL_EVERY_MS = LONG ? 2000 : 900;
const TIMEOUT_MS = 5000;
const GROUPS = Array.from({ length: 10 }, (_, i) => `g${i}`);
const WRITES_PER_SECOND = 100;
const CHILD = fileURLToPath(new URL("../support/workers/worker-child.mjs", import.meta.url));

let folder: string;
let file: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-workers-"));
  file = join(folder, "events");
  await appendFile(file, "");
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

async function startWorker(url: string, door: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [await joinedScript(CHILD), JSON.stringify({ url, door, file })],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  children.push(child);
  await once(createInterface(child.stdout), "line");
  return child;
}

/** Makes calls at a rate, and counts their outcomes. */
async function callAtRate(caller: Worker, endMs: number) {
  const counts = { returned: 0, stopped: 0, longestMs: 0 };
  const others: unknown[] = [];
  const calls: Promise<void>[] = [];
  const call = async (n: number) => {
    const startMs = performance.now();
    try {
      const result = await caller.trigger({
        function_id: "work",
        payload: { n },
        timeout_ms: TIMEOUT_MS,
      });
      if (result === n) counts.returned++;
      else others.push(result);
    } catch (error) {
      if (error instanceof FunctionError && error.code === "invocation_stopped") counts.stopped++;
      else others.push(error);
    }
    counts.longestMs = Math.max(counts.longestMs, performance.now() - startMs);
  };
  const startMs = performance.now();
  for (let n = 0; performance.now() < endMs; n++) {
    const dueMs = startMs + (1000 * n) / CALLS_PER_SECOND;
    if (dueMs > performance.now()) await sleep(dueMs - performance.now());
    calls.push(call(n));
  }
  await Promise.all(calls);
  return { ...counts, others };
}

/** Writes to all groups in turn. @returns the number of writes to each. */
async function writeAtRate(caller: Worker, endMs: number): Promise<number> {
  let rounds = 0;
  while (performance.now() < endMs) {
    await Promise.all(
      GROUPS.map((group_id) =>
        caller.trigger({
          function_id: "stream::set",
          payload: { stream_name: "long", group_id, item_id: "i", data: rounds },
        }),
      ),
    );
    rounds++;
    await sleep((1000 * GROUPS.length) / WRITES_PER_SECOND);
  }
  return rounds;
}

/** Waits for all calls. @returns the revisions that each group's function received, in order. */
async function eventsUpTo(revision: number): Promise<Map<string, number[]>> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const byGroup = new Map(GROUPS.map((group): [string, number[]] => [group, []]));
    for (const line of (await readFile(file, "utf8")).split("\n").filter((each) => each !== "")) {
      const [group = "", n] = line.split(" ");
      byGroup.get(group)?.push(Number(n));
    }
    if ([...byGroup.values()].every((revisions) => revisions.at(-1) === revision)) return byGroup;
    if (performance.now() > deadline) throw new Error("not all events arrived in time");
    await sleep(20);
  }
}

test.each(["grpc", "iii"])(
  `workers over %s lose no event of a trigger when they are killed, and every call ends`,
  async (door) => {
    const server = await startChild({ port: 0, store: { kind: "in_memory" } });
    const caller = registerWorker(server.url, { workerName: "caller" });
    let doomed = await startWorker(server.url, door);
    await startWorker(server.url, door);
    const endMs = performance.now() + SECONDS * 1000;
    let kills = 0;
    const killing = async () => {
      while (performance.now() + KILL_EVERY_MS < endMs) {
        await sleep(KILL_EVERY_MS);
        doomed.kill("SIGKILL");
        kills++;
        doomed = await startWorker(server.url, door);
      }
    };
    const [calls, rounds] = await Promise.all([
      callAtRate(caller, endMs),
      writeAtRate(caller, endMs),
      killing(),
    ]);
    const events = await eventsUpTo(rounds);
    await caller.shutdown();
    expect(await server.stop()).toBe(0);

    let repeated = 0;
    for (const [group, revisions] of events) {
      let before = 0;
      for (const revision of revisions) {
        // The next revision, or a repetition after a worker was killed.
        expect([group, revision - before === 1 || revision === before]).toEqual([group, true]);
        if (revision === before) repeated++;
        before = revision;
      }
    }
    console.info(
      `workers over ${door}: ${kills} kills; ${calls.returned} calls returned, ${calls.stopped} stopped, the longest took ${Math.round(calls.longestMs)} ms; ${rounds * GROUPS.length} events, ${repeated} of them repeated`,
    );
    expect(calls.others).toEqual([]);
    expect(calls.longestMs).toBeLessThan(TIMEOUT_MS);
    expect(kills).toBeGreaterThan(0);
    expect(calls.returned).toBeGreaterThan(0.9 * (calls.returned + calls.stopped));
  },
  120_000,
);
