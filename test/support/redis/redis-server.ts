import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type RunningRedis, redisPort, runRedis } from "./redis-process.ts";

/** Attempts to start: another process may take the free port before the server listens. */
const TRIES = 5;

/** A Redis server in a child process, which can be killed at any moment. */
export interface RedisProcess {
  readonly port: number;
  /** `redis://127.0.0.1:PORT`. */
  readonly url: string;
  /** Folder of its data and configuration. */
  readonly folder: string;
  /** Id of the server's process, new after each restart. */
  readonly pid: number;
  /** Ends it with SIGKILL, like a crash. Resolves after its exit. */
  kill(): Promise<void>;
  /** Ends it with SIGTERM, gracefully. Resolves after its exit. */
  stop(): Promise<void>;
  /** Pauses the process, with its connections open, like an overloaded machine. */
  pause(): void;
  /** Resumes the process. */
  resume(): void;
  /** Kills it if it runs, and starts it with the same port, folder and options. */
  restart(): Promise<void>;
  /** Sends one command over a separate connection. Rejects with an error reply. */
  command(name: string, ...args: (string | number | Buffer)[]): Promise<unknown>;
  /** Kills it if it runs, and removes a temporary folder. */
  dispose(): Promise<void>;
}

/** The address, folder and further configuration of a server. */
export interface RedisPlace {
  /** Port. Default: a free one. */
  readonly port?: number;
  /** Folder of its data. Default: a temporary one. */
  readonly folder?: string;
  /** Further configuration, for example `["--maxmemory", "10mb"]`. */
  readonly args?: readonly string[];
}

/** The persistence of a server. */
export interface RedisDurability {
  /** Enables the append-only file, with this flush policy. Default: no persistence. */
  readonly appendfsync?: "always" | "everysec" | "no";
}

/** Options of a server. */
export interface RedisOptions extends RedisPlace, RedisDurability {
  /** Makes it a cluster node. */
  readonly cluster?: boolean;
  /** Makes it a replica of another server. */
  readonly replicaOf?: { readonly port: number };
}

/** Starts a server and waits until it replies. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  const { appendfsync, cluster = false, replicaOf } = options;
  const lines = [
    'save ""',
    `appendonly ${appendfsync === undefined ? "no" : "yes"}`,
    `appendfsync ${appendfsync ?? "no"}`,
    // Syncs a replica at once, without waiting for others to arrive.
    "repl-diskless-sync-delay 0",
  ];
  if (cluster) lines.push("cluster-enabled yes", "cluster-node-timeout 2000");
  if (replicaOf !== undefined) lines.push(`replicaof 127.0.0.1 ${replicaOf.port}`);
  return startConfigured(lines, options);
}

/** Starts a server with the lines of its configuration file, which it may rewrite itself. */
export async function startConfigured(
  lines: readonly string[],
  { port: givenPort, folder: givenFolder, args = [] }: RedisPlace,
): Promise<RedisProcess> {
  const folder = givenFolder ?? (await mkdtemp(join(tmpdir(), "millrace-redis-")));
  const file = join(folder, "redis.conf");
  const run = async () => runRedis([file, ...args]);
  const removeFolder = async () => {
    // A child process of a killed server may still be writing.
    if (givenFolder === undefined)
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const start = async (triesLeft: number): Promise<{ port: number; running: RunningRedis }> => {
    const port = givenPort ?? (await redisPort());
    const place = ["bind 127.0.0.1", `port ${port}`, `dir ${JSON.stringify(folder)}`];
    await writeFile(file, [...place, ...lines, ""].join("\n"));
    try {
      return { port, running: await run() };
    } catch (error) {
      const isTaken = String(error).includes("Address already in use");
      if (givenPort === undefined && isTaken && triesLeft > 1) return start(triesLeft - 1);
      await removeFolder();
      throw error;
    }
  };
  const started = await start(TRIES);
  const { port } = started;
  let { running } = started;
  const end = async (signal: "SIGKILL" | "SIGTERM") => {
    running.signal(signal);
    await running.ended;
  };
  const server: RedisProcess = {
    port,
    url: `redis://127.0.0.1:${port}`,
    folder,
    get pid() {
      return running.pid;
    },
    kill: async () => end("SIGKILL"),
    async stop() {
      // A paused process handles no signal.
      running.signal("SIGCONT");
      await end("SIGTERM");
    },
    pause: () => running.signal("SIGSTOP"),
    resume: () => running.signal("SIGCONT"),
    async restart() {
      await end("SIGKILL");
      running = await run();
      await server.command("PING");
    },
    command: async (name, ...args) => command(port, name, args),
    async dispose() {
      await end("SIGKILL");
      await removeFolder();
    },
  };
  await server.command("PING");
  return server;
}

/** Sends one command over a separate connection. */
async function command(port: number, name: string, args: (string | number | Buffer)[]) {
  const connection = new Redis({
    port,
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
  });
  // The command itself fails with the same error.
  connection.on("error", () => {});
  try {
    await connection.connect();
    return await connection.call(name, args);
  } finally {
    connection.disconnect();
  }
}
