import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startChild } from "../support/long/child-server.ts";
import { LONG } from "../support/long/judge.ts";
import { residentBytes } from "../support/long/process-memory.ts";

/*
 * Requests that cost much when they are read without bounds, many at a time, beside a client that
 * does no harm.
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

async function ask<Reply>(child: ChildProcess, question: object): Promise<Reply> {
  const over = new AbortController();
  const { signal } = over;
  const replied = once(child, "message", { signal }) as Promise<[Reply]>;
  const ended = once(child, "exit", { signal }).then(([code]) => {
    throw new Error(`the process of ${child.spawnargs[1]} ended with ${code}`);
  });
  child.send(question);
  const [reply] = await Promise.race([replied, ended]);
  // The one that did not happen.
  for (const pending of [replied, ended]) pending.catch(() => {});
  over.abort();
  return reply;
}

test(
  `${COUNT} bombs of every kind, ${AT_ONCE} at a time, neither fill the memory nor stall others`,
  { timeout: 3_600_000 },
  async () => {
    const server = await startChild({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(() => server.kill());
    const bystander = start("bystander-child.mjs", server.url, String(server.pid));
    const bomber = start("bomb-child.mjs", server.url);
    const [{ kinds: all }] = (await once(bomber, "message")) as [{ readonly kinds: string[] }];
    const kinds = LONG ? all : all.filter((kind) => !kind.endsWith("gzip"));
    await ask<Seen>(bystander, {});
    const before = await residentBytes(server.pid);
    let most = before;
    let sampling = true;
    const sample = async () => {
      while (sampling) {
        most = Math.max(most, await residentBytes(server.pid));
        await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      }
    };
    await ask<Seen>(bystander, {});
    const sampled = sample();
    const wrong: string[] = [];
    for (const kind of kinds) {
      most = 0;
      const report = await ask<Report>(bomber, { kind, count: COUNT, atOnce: AT_ONCE });
      const seen = await ask<Seen>(bystander, {});
      const growth = Math.round((most - before) / 1024 / 1024);
      const { refused, cut, accepted, tookMs } = report;
      console.info(
        `${kind}: ${refused} refused, ${cut} cut, ${accepted} accepted in ${tookMs} ms; ` +
          `memory up by ${growth} MiB; of ${seen.calls} calls of others the longest wait ` +
          `was ${seen.longestMs} ms (${seen.longestWallMs} ms by the clock), ${seen.failed} failed`,
      );
      const isRight =
        refused + cut === COUNT &&
        most - before < MAX_GROWTH_BYTES &&
        seen.failed === 0 &&
        seen.longestMs <= MAX_WAIT_MS;
      if (!isRight) wrong.push(`${kind} ${report.example}`);
    }
    sampling = false;
    await sampled;
    expect(wrong).toEqual([]);
  },
);
