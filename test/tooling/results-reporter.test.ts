import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runTool } from "../../scripts/lib/tools.mjs";
import { tempProject } from "./temp-project.ts";

const PLANTED = {
  "good.test.ts": `
    import { expect, it } from "vitest";
    it("adds", () => expect(1 + 1).toBe(2));
    it("fails", () => expect(1 + 1).toBe(3));
    it("rests", (ctx) => ctx.skip("not on a Sunday"));
    it.skip("sleeps", () => {});
    it.todo("is not written");
  `,
  "hook.test.ts": `
    import { beforeAll, describe, it } from "vitest";
    describe("after a hook that throws", () => {
      beforeAll(() => { throw new Error("no ground"); });
      it("never runs", () => {});
    });
  `,
  "broken.test.ts": `import "./missing.ts";`,
};

it("the runner's results name every test, why it was skipped, and what broke outside of tests", async () => {
  const folder = await tempProject(["scripts/gate"], PLANTED);
  const file = join(folder, "results.json");
  const { code } = await runTool(
    folder,
    "vitest",
    ["run", "--root", folder, "--reporter", "./scripts/gate/results-reporter.mjs"],
    { env: { ...process.env, MILLRACE_TEST_RESULTS: file } },
  );
  expect(code).toBe(1);
  const results = JSON.parse(await readFile(file, "utf8"));
  expect(results.tests).toHaveLength(6);
  expect(results.tests).toEqual(
    expect.arrayContaining([
      { name: "good.test.ts > adds", state: "passed" },
      { name: "good.test.ts > fails", state: "failed" },
      { name: "good.test.ts > rests", state: "skipped", reason: "not on a Sunday" },
      { name: "good.test.ts > sleeps", state: "skipped" },
      { name: "good.test.ts > is not written", state: "skipped" },
      { name: "hook.test.ts > after a hook that throws > never runs", state: "skipped" },
    ]),
  );
  expect(results.errors).toHaveLength(2);
  expect(results.errors).toEqual(
    expect.arrayContaining([
      "hook.test.ts > after a hook that throws: no ground",
      expect.stringMatching(/^broken\.test\.ts: .*missing\.ts/),
    ]),
  );
});
