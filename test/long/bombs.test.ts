import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startChild } from "../support/long/child-server.ts";
import { LONG } from "../support/long/violations.ts";
import { residentBytes } from "../support/long/process-memory.ts";

/*
 * Many concurrent requests that are expensive to read without limits, beside a well-behaved client.
 */

const COUNT = LONG ? 1000 : 4;
const AT_ONCE = LONG ? 200 : 4;
const MAX_GROWTH_BYTES = 300 * 1024 * 1024;
const MAX_WAIT_MS = 250;
const SAMPLE_MS = 20;

interface Seen {
  readonly calls: number;
  readonly failed: number;
  readonly longestMs: number;
  readonly longestWallMs: number;
  readonly lagMs: number;
}

interface Report {
  readonly refused: number;
  readonly cut: number;
  readonly accepted: number;
  readonly example: string;
  readonly tookMs: number;
}

function start(script: string, ...args: string[]): ChildProcess {
  const path = fileURLToPath(new URL(`../support/long/${script}`, import.meta.url));
  const child = fork(path, args);
  onTestFinished(() => void child.kill());
  return child;
}

async function request<Reply>(child: ChildProcess, message: object): Promise<Reply> {
  const over = new AbortController();
  const { signal } = over;
  const replied = once(child, "message", { signal }) as Promise<[Reply]>;
  const ended = once(child, "exit", { signal }).then(([code]) => {
    throw new Error(`the process of ${child.spawnargs[1]} ended with ${code}`);
  });
  child.send(message);
  const [reply] = await Promise.race([replied, ended]);
  // Ignores the rejection of the event that did not happen.
  for (const pending of [replied, ended]) pending.catch(() => {});
  over.abort();
  return reply;
}

test(
  `${COUNT} bombs of every kind, ${AT_ONCE} at a time, neither exhaust the memory nor stall others`,
  { timeout: 3_600_000 },
  async () => {
    const server = await startChild({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(() => server.kill());
    const bystander = start("bystander-child.mjs", server.url, String(server.pid));
    const bomber = start("bomb-child.mjs", server.url);
    const [{ kinds: all }] = (await once(bomber, "message")) as [{ readonly kinds: string[] }];
    const kinds = LONG ? all : all.filter((kind) => !kind.endsWith("gzip"));
    await request<Seen>(bystander, {});
    const before = await residentBytes(server.pid);
    let peak = before;
    let sampling = true;
    const sample = async () => {
      while (sampling) {
        peak = Math.max(peak, await residentBytes(server.pid));
        await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      }
    };
    await request<Seen>(bystander, {});
    const sampled = sample();
    const wrong: string[] = [];
    for (const kind of kinds) {
      peak = 0;
      const report = await request<Report>(bomber, { kind, count: COUNT, atOnce: AT_ONCE });
      const seen = await request<Seen>(bystander, {});
      const growth = Math.round((peak - before) / 1024 / 1024);
      const { refused, cut, accepted, tookMs } = report;
      console.info(
        `${kind}: ${refused} refused, ${cut} cut, ${accepted} accepted in ${tookMs} ms; ` +
          `memory up by ${growth} MiB; of ${seen.calls} calls of others the longest wait ` +
          `was ${seen.longestMs} ms (${seen.longestWallMs} ms by the clock), ${seen.failed} failed`,
      );
      const isRight =
        refused + cut === COUNT &&
        peak - before < MAX_GROWTH_BYTES &&
        seen.failed === 0 &&
        seen.longestMs <= MAX_WAIT_MS;
      if (!isRight) wrong.push(`${kind} ${report.example}`);
    }
    sampling = false;
    await sampled;
    expect(wrong).toEqual([]);
  },
);
