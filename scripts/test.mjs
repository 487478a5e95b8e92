/**
 * npm test [-- filters]: the whole gate. Installs what is missing, runs the static checks, builds,
 * runs all tests (or those of files whose path contains a filter), and ends with one plain line of
 * totals. `--long` (npm run test:long [-- filters]) runs only the tests of test/long, at full
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

/**
 * The steps before the tests. The build comes first: tests run its output, and some use its types.
 */
const ALL_CHECKS = [
  {
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
  },
  ...STATIC_CHECKS,
];

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
    const checks = await runChecks(long ? ALL_CHECKS.slice(0, 1) : ALL_CHECKS);
    const { results, status } = await runTests(filters, long);
    total = tally(checks, results, status);
  } finally {
    for (const note of total.notes) print(note);
    print(closingLine(total));
  }
  return total.failed === 0 ? 0 : 1;
});

/** @param {readonly import("./gate/static-checks.mjs").StaticCheck[]} checks */
async function runChecks(checks) {
  /** @type {{ name: string, ok: boolean }[]} */
  const done = [];
  for (const { name, problem } of checks) {
    const startMs = performance.now();
    const found = await problem(PROJECT).catch((/** @type {unknown} */ error) => String(error));
    const ok = found === undefined;
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    print(`${ok ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
    if (!ok) print(found.replaceAll(/^(?=.)/gm, "       "));
    done.push({ name, ok });
  }
  return done;
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
