/* A Redis server that keeps nothing on disk. It ends with this process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";

/** Attempts to start: another process may take the free port before the server listens. */
const TRIES = 5;
/** Output lines to report when it does not start. */
const LINES = 20;

/**
 * Opens the part.
 *
 * @param {{ program: string, folder: string }} options
 */
export async function open({ program, folder }) {
  for (let i = 1; ; i++) {
    try {
      return await start(program, folder);
    } catch (error) {
      if (i === TRIES || !String(error).includes("Address already in use")) throw error;
    }
  }
}

/** @param {string} program @param {string} folder */
async function start(program, folder) {
  const port = await freePort();
  const args = ["--bind", "127.0.0.1", "--port", String(port), "--dir", folder];
  // In a separate process group: a Ctrl-C at the terminal is for the benchmark, which then ends it.
  const child = spawn(program, [...args, "--save", "", "--appendonly", "no"], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const end = () => void child.kill("SIGKILL");
  process.on("exit", end);
  /** @type {string[]} */
  const said = [];
  await new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => {
      process.off("exit", end);
      reject(new Error(`redis-server ended: ${said.slice(-LINES).join("\n")}`));
    });
    createInterface(child.stdout).on("line", (line) => {
      said.push(line);
      if (line.includes("Ready to accept connections")) resolve();
    });
  });
  child.stderr.resume();
  const close = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    end();
    await ended;
  };
  const url = `redis://127.0.0.1:${port}`;
  const methods = {
    /** CPU time of the server so far, in seconds. */
    async serverCpuSeconds() {
      const client = new Redis(url);
      const info = await client.info("cpu");
      client.disconnect();
      const seconds = (/** @type {string} */ name) =>
        Number(new RegExp(`^used_cpu_${name}:(\\S+)`, "m").exec(info)?.[1]);
      return seconds("user") + seconds("sys");
    },
  };
  return { info: { url }, methods, close, abort: close };
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
