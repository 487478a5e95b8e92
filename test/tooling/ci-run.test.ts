import { chmod } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "../../scripts/lib/run.mjs";
import { tempProject } from "./temp-project.ts";

/** Runs .ci/run with a script in the place of npm. */
async function ciRun(npm: string) {
  const folder = await tempProject([".ci"], { "bin/npm": `#!/bin/sh\n${npm}\n` });
  await chmod(join(folder, "bin", "npm"), 0o755);
  const env = { ...process.env, PATH: `${join(folder, "bin")}${delimiter}${process.env["PATH"]}` };
  const { code, output } = await run(join(folder, ".ci", "run"), [], { cwd: folder, env });
  return { code, lastLine: output.trimEnd().split("\n").at(-1) };
}

describe(".ci/run", () => {
  it("ends with the closing line of npm test and its status", async () => {
    expect(await ciRun("echo testing; echo '12 passed, 0 failed'")).toEqual({
      code: 0,
      lastLine: "12 passed, 0 failed",
    });
    expect(await ciRun("echo '12 passed, 0 failed, 3 skipped'")).toEqual({
      code: 0,
      lastLine: "12 passed, 0 failed, 3 skipped",
    });
    expect(await ciRun("echo '11 passed, 1 failed'; exit 1")).toEqual({
      code: 1,
      lastLine: "11 passed, 1 failed",
    });
  });

  it("counts an npm test that died before its closing line as a failure", async () => {
    const dead = { code: 1, lastLine: "0 passed, 1 failed" };
    expect(await ciRun("echo testing; exit 0")).toEqual(dead);
    expect(await ciRun("kill -9 $$")).toEqual(dead);
    expect(await ciRun("exit 0")).toEqual(dead);
  });

  it("does not let a line without failures hide a bad status", async () => {
    expect(await ciRun("echo '12 passed, 0 failed'; exit 7")).toEqual({
      code: 7,
      lastLine: "0 passed, 1 failed",
    });
  });
});
