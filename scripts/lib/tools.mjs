/**
 * The project's development tools, run from node_modules without npx, a shell or the PATH.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.mjs";

/** Tool -> the package that has it. */
const PACKAGES = {
  buf: "@bufbuild/buf",
  knip: "knip",
  oxfmt: "oxfmt",
  oxlint: "oxlint",
  tsc: "typescript",
  vitest: "vitest",
};

/** @typedef {keyof typeof PACKAGES} Tool */

/**
 * Whether a tool of that name exists.
 *
 * @param {string | undefined} name
 * @returns {name is Tool}
 */
export function isTool(name) {
  return name !== undefined && Object.hasOwn(PACKAGES, name);
}

/**
 * Runs a tool in a folder that has node_modules.
 *
 * @param {string} folder
 * @param {Tool} tool
 * @param {readonly string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, inherit?: boolean, yields?: boolean }} [options] As in `run`.
 * @returns {Promise<import("./run.mjs").Ended>}
 */
export async function runTool(folder, tool, args, options = {}) {
  const home = join(folder, "node_modules", PACKAGES[tool]);
  const { bin } = JSON.parse(await readFile(join(home, "package.json"), "utf8"));
  const script = join(home, typeof bin === "string" ? bin : bin[tool]);
  return run(process.execPath, [script, ...args], { cwd: folder, ...options });
}
