/* What a run leaves behind: nothing, also when it is interrupted. */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";

/** Grace period of children to end, in milliseconds. */
const END_MS = 3000;

/** @type {Set<import("node:child_process").ChildProcess>} */
const children = new Set();
/** @type {Set<string>} */
const folders = new Set();
let isInterrupted = false;

/**
 * Has a child process end with this one.
 *
 * @param {import("node:child_process").ChildProcess} child
 */
export function endWithUs(child) {
  children.add(child);
  child.once("exit", () => children.delete(child));
}

/** A new folder, removed at the end of the run. */
export async function scratchFolder() {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  folders.add(folder);
  return folder;
}

/** Removes a folder before the end of the run. @param {string} folder */
export function removeFolder(folder) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  folders.delete(folder);
}

/** Ends all started processes, each by its id, and removes all folders. */
export async function sweep() {
  const all = Array.from(children).filter(
    ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
  );
  const ended = all.map(async (child) => {
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    return exit;
  });
  const timer = setTimeout(() => all.forEach((child) => child.kill("SIGKILL")), END_MS);
  await Promise.all(ended);
  clearTimeout(timer);
  for (const folder of folders) removeFolder(folder);
}

/** Cleans up on a signal to stop. */
export function sweepOnSignals() {
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
    process.once(signal, () => {
      isInterrupted = true;
      void sweep().finally(() => process.exit(128 + constants.signals[signal]));
    });
  }
}

/**
 * Runs work, and cleans up afterwards. A failure after a signal to stop is ignored.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function thenSweep(work) {
  try {
    return await work();
  } catch (error) {
    if (isInterrupted) await new Promise(() => {});
    throw error;
  } finally {
    await sweep();
  }
}
