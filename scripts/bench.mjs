/**
 * npm run bench [-- NAME] [--quick]: installs what is missing, builds, and measures. Prints tables;
 * nothing here passes or fails.
 */
import { availableParallelism } from "node:os";
import { ensureBuilt } from "./lib/build.mjs";
import { ensureInstalled } from "./lib/ensure.mjs";
import { Failure, PROJECT, command } from "./lib/project.mjs";

/** What can be measured. */
const BENCHES = ["triggers"];

await command(async () => {
  const args = process.argv.slice(2);
  const quick = args.includes("--quick");
  const names = args.filter((arg) => !arg.startsWith("--"));
  const unknown = names.find((name) => !BENCHES.includes(name));
  if (unknown !== undefined)
    throw new Failure(`There is no benchmark ${unknown}; it may be ${BENCHES.join(", ")}.`);
  await ensureInstalled(PROJECT);
  await ensureBuilt(PROJECT);
  console.log(
    `Node ${process.versions.node}, ${process.platform} ${process.arch}, ${availableParallelism()} cores`,
  );
  for (const name of names.length > 0 ? names : BENCHES) {
    /** @type {{ run: (options: { quick: boolean }) => Promise<void> }} */
    const bench = await import(`../bench/${name}.mjs`);
    console.log(`\n${name}\n`);
    await bench.run({ quick });
  }
  return 0;
});
