/**
 * The first check of every script: is this Node new enough? It must not depend on anything that an
 * old Node cannot load, so this module imports almost nothing.
 */
import { readFileSync } from "node:fs";

/**
 * Returns the problem of a Node version.
 *
 * @param {string} actual Version as in `process.versions.node`, for example "20.20.0".
 * @param {string} range The `engines.node` of package.json, of the form ">=20.20".
 * @returns {string | undefined} A sentence with the way out; undefined when the version will do.
 */
export function nodeVersionProblem(actual, range) {
  const wanted = range
    .replace(/^>=\s*/, "")
    .split(".")
    .map(Number);
  const found = actual.split(".").map(Number);
  for (const [index, least] of wanted.entries()) {
    const part = found[index] ?? 0;
    if (part > least) return undefined;
    if (part < least) {
      return (
        `Millrace needs Node ${wanted.join(".")} or newer, and this is Node ${actual}. ` +
        `Install a newer one (https://nodejs.org) and run the command again.`
      );
    }
  }
  return undefined;
}

/** Ends the process with status 1 and a sentence on stderr when this Node is too old. */
export function requireNode() {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const problem = nodeVersionProblem(process.versions.node, manifest.engines.node);
  if (problem === undefined) return;
  process.stderr.write(`${problem}\n`);
  process.exit(1);
}
