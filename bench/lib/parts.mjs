/* Parts of a benchmark: servers and load generators, each in a process of its own. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { endWithUs } from "./scratch.mjs";

const MAIN = fileURLToPath(new URL("part-main.mjs", import.meta.url));
/** Grace period of a part to end, in milliseconds. */
const END_MS = 15_000;

/**
 * @typedef {object} Part
 * @property {any} info What it reported when it was ready.
 * @property {string} url Its URL, if it has one.
 * @property {(method: string, argument?: unknown) => Promise<any>} call Calls one of its methods.
 * @property {() => Promise<number>} cpuSeconds CPU time of its process so far.
 * @property {() => Promise<number>} residentBytes Resident memory after a garbage collection.
 * @property {() => Promise<void>} stop Closes it gracefully. Rejects if it does not end.
 *   Idempotent.
 */

/**
 * Starts a part of bench/parts and waits until it is ready.
 *
 * @param {string} name File, without its ending.
 * @param {unknown} [options] Its options.
 * @param {readonly string[]} [nodeArgs] Options of Node.
 * @returns {Promise<Part>}
 */
export async function startPart(name, options = {}, nodeArgs = []) {
  const child = fork(MAIN, [name, JSON.stringify(options)], {
    execArgv: ["--expose-gc", ...nodeArgs],
    serialization: "advanced",
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  endWithUs(child);
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();
  let isStopping = false;
  const exited = once(child, "exit").then(([code, signal]) => {
    const error = new Error(`The part ${name} ended (${signal ?? code}).`);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    return isStopping ? undefined : error;
  });
  child.on("message", (/** @type {any} */ { id, value, error }) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(new Error(`${name}: ${error}`));
  });
  let lastId = 0;
  /** @type {Part["call"]} */
  const call = (method, argument) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      child.send({ id, method, argument }, (error) => {
        if (error !== null && waiting.delete(id)) reject(error);
      });
    });
  const info = await call("ready").catch((/** @type {unknown} */ error) => {
    child.kill("SIGKILL");
    throw error;
  });
  return {
    info,
    url: info?.url ?? "",
    call,
    cpuSeconds: async () => call("cpuSeconds"),
    residentBytes: async () => call("residentBytes"),
    async stop() {
      isStopping ||= child.exitCode === null && child.signalCode === null;
      call("stop").catch(() => {});
      const timer = setTimeout(() => child.kill("SIGKILL"), END_MS);
      const problem = await exited;
      clearTimeout(timer);
      if (problem !== undefined) throw problem;
      if (child.signalCode !== null) throw new Error(`The part ${name} did not end by itself.`);
    },
  };
}

/**
 * Runs work on a server, and adds the CPU time that it cost the server.
 *
 * @template T
 * @param {Part} server
 * @param {() => Promise<T>} work
 * @returns {Promise<T & { cpuSeconds: number }>}
 */
export async function withCpu(server, work) {
  const before = await server.cpuSeconds();
  const result = await work();
  return { ...result, cpuSeconds: (await server.cpuSeconds()) - before };
}
