/**
 * All checks of the project that do not run it. Their tools run beside the tests, which wait for
 * events with time limits, and so yield to them.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesBelow } from "../lib/project.mjs";
import { runTool } from "../lib/tools.mjs";
import { lockFileProblems } from "./lock-file.mjs";
import { baselineProblem } from "./protocol-baseline.mjs";
import { uniqueExportsProblem } from "./unique-exports.mjs";

/**
 * @typedef {object} StaticCheck
 * @property {string} name
 * @property {(folder: string) => Promise<string | undefined>} problem Checks the project in a
 *   folder without changing it. Returns the problem; undefined: none.
 */

/** @type {readonly StaticCheck[]} In the order of what to mend first. */
export const STATIC_CHECKS = [
  {
    name: "lock file (exact versions, no registry addresses)",
    problem: async (folder) => {
      const [manifest, lock, npmrc] = await Promise.all(
        ["package.json", "package-lock.json", ".npmrc"].map(async (file) =>
          readFile(join(folder, file), "utf8"),
        ),
      );
      const problems = lockFileProblems({
        manifest: manifest ?? "",
        lock: lock ?? "",
        npmrc: npmrc ?? "",
      });
      return problems.length === 0 ? undefined : problems.join("\n");
    },
  },
  toolCheck("protocol (buf lint)", "buf", ["lint"]),
  { name: "protocol keeps its promises (buf breaking)", problem: baselineProblem },
  { name: "generated code (buf generate, no difference)", problem: generatedProblem },
  toolCheck("types (tsc)", "tsc", ["--noEmit", "-p", "."]),
  // Browsers have other globals than Node.
  toolCheck("types of the pages (tsc)", "tsc", ["--noEmit", "-p", "web"]),
  toolCheck("format (oxfmt)", "oxfmt", ["--check", "."]),
  toolCheck("lint and import table (oxlint)", "oxlint", ["--deny-warnings"]),
  { name: "exported names are unique", problem: uniqueExportsProblem },
  toolCheck("unused code (knip)", "knip", ["--no-progress", "--no-config-hints"]),
  toolCheck("code that only its tests use (knip)", "knip", [
    "--production",
    "--no-progress",
    "--no-config-hints",
  ]),
];

/**
 * A check that a tool decides by its exit status.
 *
 * @param {string} name
 * @param {import("../lib/tools.mjs").Tool} tool
 * @param {readonly string[]} args
 * @returns {StaticCheck}
 */
function toolCheck(name, tool, args) {
  return {
    name,
    problem: async (folder) => {
      const { code, output } = await runTool(folder, tool, args, { yields: true });
      return code === 0 ? undefined : output.trimEnd();
    },
  };
}

/**
 * Generates into a temporary folder and compares with what is committed.
 *
 * @param {string} folder
 */
async function generatedProblem(folder) {
  const fresh = await mkdtemp(join(tmpdir(), "millrace-gen-"));
  try {
    const { code, output } = await runTool(folder, "buf", ["generate", "-o", fresh], {
      yields: true,
    });
    if (code !== 0) return output.trimEnd();
    const [made, kept] = await Promise.all([filesBelow(fresh, "gen"), filesBelow(folder, "gen")]);
    /** @type {string[]} */
    const different = [];
    for (const file of new Set([...made, ...kept])) {
      if (!made.includes(file)) different.push(`${file} is not generated from any .proto file.`);
      else if (!kept.includes(file)) different.push(`${file} is missing.`);
      else {
        const [now, then] = await Promise.all([
          readFile(join(fresh, file), "utf8"),
          readFile(join(folder, file), "utf8"),
        ]);
        if (now !== then) different.push(`${file} is not what its .proto file generates.`);
      }
    }
    if (different.length === 0) return undefined;
    return `${different.join("\n")}\nRun npm run gen and commit the result.`;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}
