import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { redisProgram } from "./required-redis.ts";

const CHILD = fileURLToPath(new URL("redis-child.mjs", import.meta.url));

/** Matches the log line of a server or Sentinel that listens. */
const READY = /Ready to accept connections|Sentinel ID is/;
/** Output lines to report when a server does not start. */
const MAX_LINES = 20;

/**
 * Ports are below the range for outgoing connections: otherwise a client that waits for its server
 * would sooner or later be assigned the server's port. A cluster node also listens at its port plus
 * 10000, so those ports must be free, too.
 */
const FIRST_PORT = 10_000;
const PORTS = 10_000;
const BUS_ABOVE = 10_000;

/** The pipes that keep servers alive. */
const holds = new Set<Writable>();
// When vitest is killed, its worker processes continue until their test is over.
process.on("disconnect", () => {
  for (const hold of holds) hold.destroy();
});

/** A process of redis-server. It ends with the process of the tests. */
export interface RunningRedis {
  /** Id of the server itself. */
  readonly pid: number;
  /** Sends a signal, if the server still runs. */
  signal(name: NodeJS.Signals): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

/**
 * Starts a server. Resolves when it listens.
 *
 * @throws {Error} With its last output, when it ended instead.
 */
export async function runRedis(args: readonly string[]): Promise<RunningRedis> {
  const found = await redisProgram();
  if ("missing" in found) throw new Error(found.missing);
  // In a separate process group: a Ctrl-C at the terminal reaches only the tests, which then end
  // the server.
  const child = spawn(process.execPath, [CHILD, found.program, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  holds.add(child.stdin);
  const ended = once(child, "exit").then(() => void holds.delete(child.stdin));
  const printed: string[] = [];
  const pid = await new Promise<number>((resolve, reject) => {
    let pid = 0;
    let isReady = false;
    const onLine = (line: string) => {
      printed.push(line);
      if (printed.length > MAX_LINES) printed.shift();
      // The two processes write in parallel, in any order.
      pid ||= Number(/^redis-child: (\d+)$/.exec(line)?.[1] ?? 0);
      isReady ||= READY.test(line);
      if (pid !== 0 && isReady) resolve(pid);
    };
    createInterface(child.stdout).on("line", onLine);
    createInterface(child.stderr).on("line", onLine);
    child.once("close", () => reject(new Error(`redis-server ended:\n${printed.join("\n")}`)));
  });
  return {
    pid,
    ended,
    signal(name) {
      // The child process waits for the server, so the id is not reused while the child runs.
      if (child.exitCode === null && isAlive(pid)) process.kill(pid, name);
    },
  };
}

/** Whether a process with an id exists. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A free port that stays free while its server is down. */
export async function redisPort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    if ((await isFree(port)) && (await isFree(port + BUS_ABOVE))) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
