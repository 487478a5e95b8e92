/**
 * Child processes of the scripts: run to their end, stopped together with the script.
 */
import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";

/**
 * @typedef {object} Ended How a child process ended.
 * @property {number} code Exit status; 128 plus the signal's number when a signal ended it.
 * @property {string} output Its stdout and stderr, in the order they came. Empty when inherited.
 */

/** @type {readonly NodeJS.Signals[]} */
const STOPPING = ["SIGINT", "SIGTERM"];

/**
 * Runs a program to its end, without stdin. A signal to stop this process is passed on to the
 * child, and this process exits once the child has ended.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: NodeJS.ProcessEnv, inherit?: boolean, yields?: boolean,
 *   onLine?: (line: string) => void }} options
 *   `inherit` shows stdout and stderr instead of returning them; `yields` gives it only the time
 *   that other processes leave; `onLine` sees each line of both.
 * @returns {Promise<Ended>}
 */
export async function run(file, args, options) {
  const { cwd, env = process.env, inherit = false, yields = false, onLine } = options;
  const pipe = inherit ? "inherit" : "pipe";
  const child = spawn(file, args, { cwd, env, stdio: ["ignore", pipe, pipe] });
  if (yields && child.pid !== undefined) lowerPriority(child.pid);
  /** @type {NodeJS.Signals | undefined} */
  let received;
  /** @param {NodeJS.Signals} signal */
  const stop = (signal) => {
    received = signal;
    child.kill(signal);
  };
  for (const signal of STOPPING) process.on(signal, stop);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream?.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
      output += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      if (onLine !== undefined) for (const line of lines) onLine(line);
    });
  }
  try {
    const code = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, signal) => resolve(status ?? statusOf(signal)));
    });
    if (received !== undefined) process.exit(statusOf(received));
    return { code, output };
  } finally {
    for (const signal of STOPPING) process.off(signal, stop);
  }
}

/**
 * The exit status that shells give to a death by signal.
 *
 * @param {NodeJS.Signals | null} signal
 */
function statusOf(signal) {
  return 128 + (signal === null ? 0 : constants.signals[signal]);
}

/** @param {number} pid */
function lowerPriority(pid) {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has already ended, or this system does not allow it: then it shares the processor.
  }
}
