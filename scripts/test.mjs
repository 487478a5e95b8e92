/**
 * npm test [-- filters]: the whole gate. Installs what is missing, builds, runs all tests (or those
 * of files whose path contains a filter) with the static checks beside them, and ends with one plain
 * line of totals. `--long` (npm run test:long [-- filters]) runs only the tests of test/long, at full
 * length; a filter is how the name of a file there begins.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { closingLine, tally } from "./gate/closing-line.mjs";
import { STATIC_CHECKS } from "./gate/static-checks.mjs";
import { ensureBuilt } from "./lib/build.mjs";
import { ensureInstalled } from "./lib/ensure.mjs";
import { Failure, PROJECT, command, readIfThere } from "./lib/project.mjs";
import { runTool } from "./lib/tools.mjs";

/** @param {string} text */
const print = (text) => process.stdout.write(`${text}\n`);

/** Comes before the tests: they run what it builds, and some use its types. */
const BUILD = {
  name: "build (tsc)",
  problem: async (/** @type {string} */ folder) => {
    try {
      await ensureBuilt(folder);
      return undefined;
    } catch (error) {
      if (error instanceof Failure) return error.message;
      throw error;
    }
  },
};

await command(async () => {
  const args = process.argv.slice(2);
  const long = args.includes("--long");
  const named = args.filter((arg) => arg !== "--long");
  const longNamed = named.length === 0 ? [""] : named;
  const filters = long ? longNamed.map((name) => `test/long/${name}`) : named;
  /** @type {import("./gate/closing-line.mjs").Tally} */
  let total = { passed: 0, failed: 1, skipped: 0, notes: [] };
  try {
    await ensureInstalled(PROJECT);
    const build = await runCheck(BUILD);
    print(build.report);
    // Both end before the closing line, also when the runner cannot start.
    const [ran, checked] = await Promise.allSettled([
      runTests(filters, long),
      long ? [] : runChecks(),
    ]);
    if (ran.status === "rejected") throw ran.reason;
    if (checked.status === "rejected") throw checked.reason;
    const { results, status } = ran.value;
    const checks = checked.value;
    // On a terminal, the runner redraws its last lines while it runs.
    if (process.stdout.isTTY) for (const { report } of checks) print(report);
    total = tally([build, ...checks], results, status);
  } finally {
    for (const note of total.notes) print(note);
    print(closingLine(total));
  }
  return total.failed === 0 ? 0 : 1;
});

/** Runs the static checks, one after another: each uses several cores. */
async function runChecks() {
  /** @type {Awaited<ReturnType<typeof runCheck>>[]} */
  const done = [];
  for (const check of STATIC_CHECKS) {
    const result = await runCheck(check);
    if (!process.stdout.isTTY) print(result.report);
    done.push(result);
  }
  return done;
}

/** @param {import("./gate/static-checks.mjs").StaticCheck} check */
async function runCheck({ name, problem }) {
  const startMs = performance.now();
  const found = await problem(PROJECT).catch((/** @type {unknown} */ error) => String(error));
  const ok = found === undefined;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const line = `${ok ? "ok    " : "FAILED"} ${name} (${seconds} s)`;
  return { name, ok, report: ok ? line : `${line}\n${found.replaceAll(/^(?=.)/gm, "       ")}` };
}

/**
 * @param {readonly string[]} filters
 * @param {boolean} long
 */
async function runTests(filters, long) {
  const cache = join(PROJECT, ".cache");
  await mkdir(cache, { recursive: true });
  // Named after this process: two terminals may test at once.
  const resultsFile = join(cache, `test-results-${process.pid}.json`);
  const reporter = join(PROJECT, "scripts", "gate", "results-reporter.mjs");
  const { code } = await runTool(
    PROJECT,
    "vitest",
    ["run", "--allowOnly=false", "--reporter=default", `--reporter=${reporter}`, ...filters],
    {
      inherit: true,
      env: {
        ...process.env,
        MILLRACE_TEST_RESULTS: resultsFile,
        ...(long && { MILLRACE_LONG: "1" }),
        // Without a terminal, colours are noise in a log.
        ...(!process.stdout.isTTY && !process.env["FORCE_COLOR"] && { NO_COLOR: "1" }),
      },
    },
  );
  const text = await readIfThere(resultsFile);
  await rm(resultsFile, { force: true });
  /** @type {import("./gate/closing-line.mjs").TestResults | undefined} */
  const results = text === undefined ? undefined : JSON.parse(text);
  return { results, status: code };
}
