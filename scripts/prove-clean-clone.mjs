/**
 * npm run prove:clean: proves that the two commands work in a fresh clone. Clones the last commit
 * (not the working tree) into a temporary folder, and there, with an empty home, an empty npm cache
 * and a minimal environment, runs npm start, uses the service, stops it, and runs npm test.
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure, PROJECT, command, say } from "./lib/project.mjs";
import { run } from "./lib/run.mjs";

const START_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 15_000;

/** Environment variables that the machine may need to reach its package registry. */
const KEPT_ENVIRONMENT =
  /^(PATH|LANG|TMPDIR|SystemRoot|ComSpec|PATHEXT|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(HTTPS?|NO)_PROXY|npm_config_registry)$/i;

/** @type {{ name: string, outcome: string, seconds: string }[]} */
const done = [];

await command(async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-clean-"));
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => stopped.abort(new Failure(`Stopped by ${signal}.`)));
  }
  try {
    await prove(folder, stopped.signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
    say("");
    for (const { name, outcome, seconds } of done) {
      say(`${outcome.padEnd(6)} ${seconds.padStart(7)}  ${name}`);
    }
  }
});

/**
 * @param {string} folder An empty folder.
 * @param {AbortSignal} stopped
 */
async function prove(folder, stopped) {
  const home = join(folder, "home");
  const clone = join(folder, "millrace");
  await mkdir(home);
  const kept = Object.entries(process.env).filter(([name]) => KEPT_ENVIRONMENT.test(name));
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...Object.fromEntries(kept), HOME: home, CI: "true" };
  const path = env["PATH"] ?? "";
  // npm puts folders of the project that calls it in front: the clone must find its own.
  env["PATH"] = path
    .split(":")
    .filter((entry) => !entry.includes("node_modules"))
    .join(":");

  await step("git clone", async () => {
    await git(["clone", "--quiet", "--no-hardlinks", PROJECT, clone], folder);
    const changed = await git(["status", "--porcelain"], PROJECT);
    if (changed !== "")
      say("Note: uncommitted changes of the working tree are not part of the proof.");
  });
  /** @type {Service | undefined} */
  let service;
  try {
    const started = await step("npm start: installs, builds, serves", async () =>
      startService(clone, env, stopped),
    );
    service = started;
    await step("GET /healthz", async () => {
      const response = await fetch(`${started.url}/healthz`);
      if (response.status !== 200) throw new Failure(`/healthz responded with ${response.status}.`);
    });
    await step("Set and Get an item as Connect JSON", async () => setAndGet(started.url));
    await step("SIGTERM to npm: exit status 0, one line on stdout", async () => started.stop());
  } finally {
    service?.kill();
  }
  await step("npm start again: nothing to install or build", async () => {
    const again = await startService(clone, env, stopped);
    try {
      const { item } = await call(again.url, "Get", {});
      if (item?.data !== "clean") throw new Failure("The item did not survive the restart.");
      await again.stop();
    } finally {
      again.kill();
    }
  });
  await step("npm test", async () => {
    const { code } = await run("npm", ["test"], {
      cwd: clone,
      env,
      onLine: (line) => say(`  ${line}`),
    });
    if (code !== 0) throw new Failure(`npm test ended with status ${code}.`);
  });
  await step("git status: nothing changed or left behind", async () => {
    const changed = await git(["status", "--porcelain"], clone);
    if (changed !== "") throw new Failure(changed);
  });
}

/**
 * Runs and times one step.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function step(name, work) {
  say(`-- ${name}`);
  const startMs = performance.now();
  let outcome = "FAILED";
  try {
    const result = await work();
    outcome = "ok";
    return result;
  } finally {
    const seconds = `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
    done.push({ name, outcome, seconds });
  }
}

/**
 * @typedef {object} Service A service under `npm start`.
 * @property {string} url
 * @property {() => Promise<void>} stop Signals npm to stop, and checks its exit.
 * @property {() => void} kill Ends all processes that are left.
 */

/**
 * Starts the service on a free port and waits for its line.
 *
 * @param {string} clone
 * @param {NodeJS.ProcessEnv} env
 * @param {AbortSignal} stopped
 * @returns {Promise<Service>}
 */
async function startService(clone, env, stopped) {
  // A process group of its own, so that kill reaches what npm started.
  const child = spawn("npm", ["start", "--silent", "--", "--port", "0"], {
    cwd: clone,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8");
  child.stderr.setEncoding("utf8").on("data", (text) => process.stderr.write(text));
  /** @type {Promise<number | string>} */
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? signal ?? "nothing"));
  });
  const kill = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended already.
    }
  };
  /** @type {Promise<string>} */
  const listening = new Promise((resolve, reject) => {
    const giveUp = (/** @type {string} */ why) => reject(new Failure(why));
    const timer = setTimeout(() => giveUp("No line within five minutes."), START_TIMEOUT_MS);
    stopped.addEventListener("abort", () => giveUp("Stopped."));
    child.stdout.on("data", (text) => {
      stdout += text;
      const url = /^millrace listening on (http:\/\/\S+)\n/.exec(stdout)?.[1];
      if (url !== undefined) {
        clearTimeout(timer);
        resolve(url);
      }
    });
    ended
      .then((status) => giveUp(`npm start ended with ${status} before its line.`))
      .catch(reject)
      .finally(() => clearTimeout(timer));
  });
  try {
    const url = await listening;
    return { url, kill, stop: async () => stopService() };
  } catch (error) {
    kill();
    throw error;
  }

  async function stopService() {
    child.kill("SIGTERM");
    const timer = setTimeout(kill, STOP_TIMEOUT_MS);
    const status = await ended;
    clearTimeout(timer);
    if (status !== 0) throw new Failure(`npm start ended with ${status} after SIGTERM.`);
    if (stdout.trimEnd().includes("\n")) throw new Failure(`stdout has more lines:\n${stdout}`);
  }
}

/** @param {string} url */
async function setAndGet(url) {
  await call(url, "Set", { data: "clean" });
  const { item } = await call(url, "Get", {});
  if (item?.data !== "clean") throw new Failure(`Get returned ${JSON.stringify(item)}.`);
}

/**
 * Calls a method on one item with Connect's JSON protocol.
 *
 * @param {string} url
 * @param {string} method
 * @param {object} fields
 */
async function call(url, method, fields) {
  const response = await fetch(`${url}/millrace.v1.StreamService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ streamName: "proof", groupId: "clone", itemId: "1", ...fields }),
  });
  const text = await response.text();
  if (response.status !== 200)
    throw new Failure(`${method} responded with ${response.status}: ${text}`);
  return JSON.parse(text);
}

/**
 * @param {readonly string[]} args
 * @param {string} cwd
 * @returns {Promise<string>} What git printed.
 */
async function git(args, cwd) {
  const { code, output } = await run("git", args, { cwd });
  if (code !== 0) throw new Failure(`git ${args[0]} failed: ${output}`);
  return output.trim();
}
