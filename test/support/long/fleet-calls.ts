import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Position } from "../../../src/core/position.ts";

/* Reads the function calls that the processes of fleet-child.mjs log to a file. */

/** One line of the file. */
interface Line {
  readonly kind: string;
  readonly fields: readonly string[];
}

async function readLines(file: string): Promise<readonly Line[]> {
  const text = await readFile(file, "utf8");
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [kind = "", ...fields] = line.split(" ");
      return { kind, fields };
    });
}

/** The calls of triggers. */
export interface TriggerCalls {
  readonly changes: number;
  readonly total: number;
  /** Calls with a change that the trigger had received before. */
  readonly repeated: number;
  /** Calls that skipped a change: a sentence each. */
  readonly disorder: readonly string[];
}

/**
 * Waits until every trigger was called with the last change of every group.
 *
 * @returns the calls of all triggers.
 */
export async function callsOf(
  file: string,
  triggers: readonly string[],
  heads: ReadonlyMap<string, Position>,
  timeoutMs: number,
): Promise<TriggerCalls> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const calls = review(await readLines(file));
    const missing = triggers.flatMap((name) =>
      Array.from(heads, ([group, { revision }]) =>
        (calls.reached.get(`${name} ${group}`) ?? 0) >= revision
          ? []
          : [`${name} ${group}: ${calls.reached.get(`${name} ${group}`) ?? 0} of ${revision}`],
      ).flat(),
    );
    if (missing.length === 0) {
      const changes = Array.from(heads.values()).reduce((sum, { revision }) => sum + revision, 0);
      return { ...calls, changes };
    }
    if (performance.now() > deadlineMs)
      throw new Error(
        `triggers were not called with everything: ${missing.slice(0, 5).join("; ")}`,
      );
    await sleep(200);
  }
}

function review(lines: readonly Line[]) {
  const reached = new Map<string, number>();
  const disorder: string[] = [];
  let total = 0;
  let repeated = 0;
  for (const { kind, fields } of lines) {
    if (kind !== "log") continue;
    const [name, group, text] = fields;
    const key = `${name} ${group}`;
    const revision = Number(text);
    const before = reached.get(key) ?? 0;
    total++;
    if (revision > before + 1) disorder.push(`${key}: ${revision} after ${before}`);
    if (revision <= before) repeated++;
    reached.set(key, Math.max(before, revision));
  }
  return { reached, disorder, total, repeated };
}

/** The joins and leaves of subscriptions. */
export interface Leaves {
  readonly joins: number;
  readonly leaves: number;
  readonly repeated: number;
  /** Joins without a leave. */
  readonly missing: readonly string[];
  /** Leaves without a join. */
  readonly unknown: readonly string[];
  /** Leaves later than `limitMs` after the end of their subscription: a sentence each. */
  late(endedMs: ReadonlyMap<string, number>, limitMs: number): readonly string[];
}

/** Waits until every join has its leave, or the time has passed. */
export async function leavesOf(file: string, timeoutMs: number): Promise<Leaves> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const lines = await readLines(file);
    const joined = timesOf(lines, "join");
    const left = timesOf(lines, "leave");
    const missing = Array.from(joined.keys()).filter((id) => !left.has(id));
    if (missing.length > 0 && performance.now() < deadlineMs) {
      await sleep(200);
      continue;
    }
    const count = Array.from(left.values()).reduce((sum, times) => sum + times.length, 0);
    return {
      joins: joined.size,
      leaves: count,
      repeated: count - left.size,
      missing,
      unknown: Array.from(left.keys()).filter((id) => !joined.has(id)),
      late: (endedMs, limitMs) =>
        Array.from(endedMs).flatMap(([id, atMs]) => {
          const tookMs = (left.get(id)?.[0] ?? Infinity) - atMs;
          return joined.has(id) && tookMs > limitMs ? [`${id}: after ${tookMs} ms`] : [];
        }),
    };
  }
}

function timesOf(lines: readonly Line[], kind: string): Map<string, number[]> {
  const times = new Map<string, number[]>();
  for (const line of lines) {
    if (line.kind !== kind) continue;
    const [id = "", time] = line.fields;
    times.set(id, [...(times.get(id) ?? []), Number(time)]);
  }
  return times;
}
