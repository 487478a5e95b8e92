/**
 * The service that the demo publishes to: a running one, or one that the demo starts.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { Failure, PROJECT, say } from "../lib/project.mjs";

const HOST = "127.0.0.1";
const PROBE_TIMEOUT_MS = 3000;

/**
 * @typedef {object} UsedService
 * @property {string} url
 * @property {AbortSignal} gone Aborted, with a Failure, when a started service ends by itself.
 * @property {() => Promise<void>} release Ends a started service, and waits for its end.
 */

/**
 * Finds the running service, or starts one like npm start.
 *
 * @param {import("./options.mjs").DemoOptions} options
 * @param {AbortSignal} stop
 * @returns {Promise<UsedService>}
 * @throws {Failure} When something else has the port, or the service does not start.
 */
export async function useService(options, stop) {
  const url = `http://${HOST}:${options.port}`;
  if (await answers(url, stop)) {
    say(`Using the service at ${url}.`);
    return { url, gone: new AbortController().signal, release: async () => {} };
  }
  say(`No service answers at ${url}: starting one.`);
  return startService(options, stop);
}

/**
 * Whether the service responds there.
 *
 * @param {string} url
 * @param {AbortSignal} stop
 */
async function answers(url, stop) {
  /** @type {unknown} */
  let health;
  try {
    const response = await fetch(`${url}/healthz`, {
      signal: AbortSignal.any([stop, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
    });
    health = await response.json();
  } catch (error) {
    stop.throwIfAborted();
    if (isRefused(error)) return false;
  }
  if (typeof health === "object" && health !== null && "status" in health) return true;
  throw new Failure(`Another program uses ${url}. Stop it, or choose another --port.`);
}

/** @param {unknown} error Of fetch. */
function isRefused(error) {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}

/**
 * @param {import("./options.mjs").DemoOptions} options
 * @param {AbortSignal} stop
 * @returns {Promise<UsedService>}
 */
async function startService({ port, data }, stop) {
  const script = join(PROJECT, "scripts", "start.mjs");
  const flags = ["--port", String(port), ...(data === undefined ? [] : ["--data", data])];
  const child = spawn(process.execPath, [script, ...flags], {
    cwd: PROJECT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const gone = new AbortController();
  /** @type {Promise<void>} */
  const ended = new Promise((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  void ended.then(() => gone.abort(new Failure("The service has ended; its messages are above.")));
  const release = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  try {
    const url = await listening(child.stdout, AbortSignal.any([stop, gone.signal]));
    return { url, gone: gone.signal, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * Waits for the line with the address of the service.
 *
 * @param {import("node:stream").Readable} stdout
 * @param {AbortSignal} stop
 * @returns {Promise<string>}
 */
async function listening(stdout, stop) {
  const lines = createInterface({ input: stdout });
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const url = /^millrace listening on (http:\/\/\S+)$/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
    });
    const giveUp = () => reject(stop.reason);
    if (stop.aborted) giveUp();
    else stop.addEventListener("abort", giveUp, { once: true });
  });
}
