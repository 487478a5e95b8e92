/**
 * The project's folder, and the output and failures of its scripts.
 */
import { createHash } from "node:crypto";
import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { requireNode } from "./node-version.mjs";

/** The project's folder. */
export const PROJECT = fileURLToPath(new URL("../../", import.meta.url)).replace(/[/\\]$/, "");

/**
 * Prints progress to stderr: stdout belongs to the started program.
 *
 * @param {string} text
 */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** A failure whose message contains advice. It is shown without a stack. */
export class Failure extends Error {
  /** @override */
  name = "Failure";
}

/**
 * The frame of every script: checks the version of Node, then runs the work. The result of the work
 * is the exit status; a Failure is shown as its message, a bug with its stack, both with status 1.
 *
 * @param {() => Promise<number | void>} work
 */
export async function command(work) {
  requireNode();
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    if (error instanceof Failure) say(error.message);
    else say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    process.exitCode = 1;
  }
}

/**
 * Every file at or below a path, sorted, as paths relative to the folder. A missing path has none.
 *
 * @param {string} folder
 * @param {string} path Relative to the folder, with forward slashes.
 * @returns {Promise<string[]>}
 */
export async function filesBelow(folder, path = "") {
  const kind = await stat(join(folder, path)).catch(() => undefined);
  if (kind === undefined) return [];
  if (!kind.isDirectory()) return [path];
  const names = (await readdir(join(folder, path))).toSorted();
  const nested = await Promise.all(
    names.map(async (name) => filesBelow(folder, path === "" ? name : `${path}/${name}`)),
  );
  return nested.flat();
}

/**
 * One hash over the names and contents of files and folders.
 *
 * @param {string} folder
 * @param {readonly string[]} paths Relative to the folder.
 * @returns {Promise<string>} Hexadecimal SHA-256.
 */
export async function hashOf(folder, paths) {
  const hash = createHash("sha256");
  for (const path of paths) {
    for (const file of await filesBelow(folder, path)) {
      const content = await readFile(join(folder, file));
      hash.update(`${file}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest("hex");
}

/**
 * Reads a file that may not exist.
 *
 * @param {string} path
 * @returns {Promise<string | undefined>}
 */
export async function readIfThere(path) {
  return readFile(path, "utf8").catch(() => undefined);
}
