import { expect } from "vitest";
import { type CheckOptions, type History, check, describeViolations } from "../checker/index.ts";

/** Whether this run is the long one (`npm run test:long`). */
export const LONG = process.env["MILLRACE_LONG"] === "1";

/** Seed of this run: a given one, to repeat a run, or a new one. */
export function seedOfRun(): number {
  return Number(process.env["MILLRACE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
}

/** Checks a history, prints a summary, and fails with the seed when there are violations. */
export function expectNoViolations(
  title: string,
  history: History,
  options: CheckOptions,
  seed: number,
): void {
  const started = performance.now();
  const violations = check(history, options);
  const tookMs = Math.round(performance.now() - started);
  console.info(
    `${title}: ${summary(history)}; ${violations.length} violations (seed ${seed}, checked in ${tookMs} ms)`,
  );
  expect(violations.length, `seed ${seed}\n${describeViolations(violations)}`).toBe(0);
}

function summary(history: History): string {
  const counts = new Map<string, number>();
  const add = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
  for (const record of history) {
    if (record.kind === "outcome") add(`calls ${record.outcome}`);
    else if (record.kind === "frame") {
      const { frame } = record;
      const isDelta = frame.type === "change" && frame.delta !== undefined;
      add(`${isDelta ? "delta" : frame.type} frames`);
    } else if (record.kind === "subscribe") add("subscriptions");
    else if (record.kind === "list") add("listings");
    else if (record.kind === "get") add("gets");
  }
  return [...counts].map(([name, count]) => `${count} ${name}`).join(", ");
}
