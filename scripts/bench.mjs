/**
 * npm run bench [-- NAME ...]: installs what is missing, builds, and measures. Prints tables. A
 * figure that misses its target does not fail the run; an error or a wrong response does.
 *
 *     --quick          a short run: a minute and a half in total
 *     --only A,B       these scenarios only; the same as naming them
 *     --list           lists the scenarios
 *     --json FILE      also writes all numbers to a file
 *     --profile DIR    writes a .cpuprofile of each of our servers to a folder
 *     --self-check     checks that a server of half the speed is measured as such
 *     --compare A B    compares the ratios of two files of --json, without measuring
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ensureBuilt } from "./lib/build.mjs";
import { ensureInstalled } from "./lib/ensure.mjs";
import { Failure, PROJECT, command } from "./lib/project.mjs";

await command(async () => {
  const { values, positionals } = readArgs();
  if (values.compare) return compare(positionals);
  const { NOT_QUICK, SCENARIOS, runScenarios } = await import("../bench/run.mjs");
  if (values.list) {
    for (const [name, about] of Object.entries(SCENARIOS))
      console.log(`${name.padEnd(18)} ${about}`);
    return 0;
  }
  const known = Object.keys(SCENARIOS);
  const named = [...positionals, ...(values.only ?? []).flatMap((names) => names.split(","))];
  const unknown = named.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new Failure(`There is no benchmark ${unknown}; it may be ${known.join(", ")}.`);
  const names = known.filter((name) =>
    named.length > 0 ? named.includes(name) : !(values.quick && NOT_QUICK.includes(name)),
  );
  await ensureInstalled(PROJECT);
  await ensureBuilt(PROJECT);
  await runScenarios(values["self-check"] ? ["self-check"] : names, {
    quick: values.quick ?? false,
    profileFolder: values.profile && resolve(values.profile),
    jsonFile: values.json && resolve(values.json),
  });
  return 0;
});

/** @param {readonly string[]} files @returns {Promise<number>} The status to end with. */
async function compare([first, second, ...more]) {
  if (first === undefined || second === undefined || more.length > 0)
    throw new Failure("--compare takes two files that --json wrote.");
  const { compareRuns } = await import("../bench/lib/compare.mjs");
  return (await compareRuns(first, second)) === 0 ? 0 : 1;
}

function readArgs() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: "boolean" },
        only: { type: "string", multiple: true },
        list: { type: "boolean" },
        json: { type: "string" },
        profile: { type: "string" },
        "self-check": { type: "boolean" },
        compare: { type: "boolean" },
      },
    });
  } catch (error) {
    // The rest of the sentence does not apply here.
    const [sentence] = String(error instanceof Error ? error.message : error).split(". ", 1);
    throw new Failure(`${sentence}. See the top of scripts/bench.mjs for what there is.`);
  }
}
