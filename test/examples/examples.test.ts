import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { ensureBuilt } from "../../scripts/lib/build.mjs";
import { PROJECT } from "../docs/markdown.ts";
import { run } from "../docs/processes.ts";

/** Examples that end by themselves, with their output. */
const PRINTED: Readonly<Record<string, readonly string[]>> = {
  "audit-log.mjs": [
    '{"what":"create","item":"ann","to":{"cents":500},"by":"audit"}',
    '{"what":"update","item":"ann","to":{"cents":600},"by":"audit"}',
    '{"what":"delete","item":"ann","to":{"cents":600},"by":"audit"}',
  ],
  "custom-stream.mjs": [
    "has [ { id: 'tea', stock: 4 } ]",
    "now { id: 'tea', stock: 3 } and in the table { id: 'tea', stock: 3 }",
  ],
  "presence.mjs": [
    "In the kitchen: nobody",
    "In the kitchen: Ann",
    "In the kitchen: Ann, Bob",
    "In the kitchen: Ann (typing), Bob",
    "In the kitchen: Ann (typing)",
    "In the kitchen: nobody",
  ],
  "private-rooms.mjs": [
    "ann may come in",
    "ann may see who is there",
    "bob may not come in: JOIN_REFUSED",
    "bob may not see who is there: JOIN_REFUSED",
    "somebody may not come in: AUTH_REFUSED",
    "somebody may not see who is there: AUTH_REFUSED",
  ],
  "projection.mjs": ["after change 3: { 'us/o-3': { cents: 300 } }"],
};

/** Examples that other tests run, such as the tests of the documents. */
const ELSEWHERE = ["ai-text", "embed.mjs", "go", "python", "watch.mjs", "watch.py", "worker.mjs"];

beforeAll(() => ensureBuilt(PROJECT), 120_000);

it("every example has a test", async () => {
  const files = (await readdir(join(PROJECT, "examples"))).toSorted();
  expect(files).toEqual([...Object.keys(PRINTED), ...ELSEWHERE].toSorted());
});

it.each(Object.entries(PRINTED))("examples/%s prints what it documents", async (file, lines) => {
  const { status, stdout, stderr } = await run(`node examples/${file}`, PROJECT);
  expect([status, stderr]).toEqual([0, ""]);
  // Presence and totals may skip intermediate states; only the last one is certain.
  const printed = stdout.trimEnd().split("\n");
  if (lines.length === 1) expect(printed.at(-1)).toBe(lines[0]);
  else expect(printed).toEqual(lines);
});
