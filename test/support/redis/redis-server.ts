import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type RunningRedis, redisPort, runRedis } from "./redis-process.ts";

/** Between looking for a free port and listening there, somebody else may take it. */
const TRIES = 5;

/** A server of Redis in a process of its own, which can be killed at any moment. */
export interface RedisProcess {
  readonly port: number;
  /** `redis://127.0.0.1:PORT`. */
  readonly url: string;
  /** Where its data and its configuration are. */
  readonly folder: string;
  /** Id of the server's process, another one after each restart. */
  readonly pid: number;
  /** Ends it with SIGKILL, as a crash would. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Ends it with SIGTERM, in good order. Resolves when it is gone. */
  stop(): Promise<void>;
  /** Has it stand still, with its connections open, as a machine without time for it would. */
  pause(): void;
  /** Has it go on. */
  resume(): void;
  /** Kills it if it runs, and starts it with the same port, folder and options. */
  restart(): Promise<void>;
  /** Sends one command over a connection of its own. Resolves with the reply, rejects with an error. */
  command(name: string, ...args: (string | number | Buffer)[]): Promise<unknown>;
  /** Kills it if it runs, and removes the folder if none was given. */
  dispose(): Promise<void>;
}

/** Where a server is, and what it is told beside what it does here. */
export interface RedisPlace {
  /** To come back at the same address. Unless given, one that is free. */
  readonly port?: number;
  /** To come back with the same data. Unless given, one of its own, removed in the end. */
  readonly folder?: string;
  /** More of the configuration, for example `["--maxmemory", "10mb"]`. */
  readonly args?: readonly string[];
}

/** How a server keeps its data. */
export interface RedisDurability {
  /** Has it write an append-only file, and says when that is flushed. Unless given, it keeps nothing. */
  readonly appendfsync?: "always" | "everysec" | "no";
}

/** How to start a server. */
export interface RedisOptions extends RedisPlace, RedisDurability {
  /** Makes it a node for a cluster. */
  readonly cluster?: boolean;
  /** Makes it a replica of another server. */
  readonly replicaOf?: { readonly port: number };
}

/** Starts a server and waits until it answers. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  const { appendfsync, cluster = false, replicaOf } = options;
  const lines = [
    'save ""',
    `appendonly ${appendfsync === undefined ? "no" : "yes"}`,
    `appendfsync ${appendfsync ?? "no"}`,
    // A replica is served at once, rather than together with those that may ask within seconds.
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
    // What a killed server was just writing, a process of its own may still write.
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
      // One that stands still hears nothing.
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

/** Sends one command over a connection of its own. */
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
  // The command itself fails with what is told here.
  connection.on("error", () => {});
  try {
    await connection.connect();
    return await connection.call(name, args);
  } finally {
    connection.disconnect();
  }
}
