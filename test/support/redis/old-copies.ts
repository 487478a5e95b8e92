import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { onTestFinished } from "vitest";
import { type RedisOptions, type RedisProcess, startRedis } from "./redis-server.ts";

/**
 * A server whose data can be replaced by an older copy while its process and connections continue.
 */
export interface CopiedRedis {
  readonly url: string;
  readonly command: RedisProcess["command"];
  /** Takes the copy. */
  backUp(): Promise<void>;
  /** Replaces the data by the copy. */
  restore(): Promise<void>;
}

/** The way that also restarts the process of the server. */
export const RESTARTED = "a restart on an older append-only file";

/** The ways in which an older copy replaces the data. */
export const OLD_COPIES: Readonly<Record<string, () => Promise<CopiedRedis>>> = {
  "a master that follows a detached replica for a moment": detachedReplica,
  "a demoted master that is promoted again": demotedMaster,
  "DEBUG RELOAD of an older RDB file": reloadedFile,
  "DEBUG LOADAOF of an older append-only file": reloadedAppendFile,
  "FLUSHALL and RESTORE of older dumps": restoredDumps,
};

/** Starts a server that restarts on an older append-only file. All members must reconnect. */
export async function restartedAppendFile(): Promise<CopiedRedis> {
  const redis = await redisFor({ appendfsync: "always" });
  const files = join(redis.folder, "appendonlydir");
  const copy = join(redis.folder, "copy");
  return {
    url: redis.url,
    command: redis.command,
    backUp: async () => cp(files, copy, { recursive: true }),
    async restore() {
      await redis.stop();
      await rm(files, { recursive: true });
      await cp(copy, files, { recursive: true });
      await redis.restart();
    },
  };
}

async function redisFor(options: RedisOptions): Promise<RedisProcess> {
  const redis = await startRedis(options);
  onTestFinished(async () => redis.dispose());
  return redis;
}

async function replicates(replica: RedisProcess): Promise<void> {
  while (!String(await replica.command("INFO", "replication")).includes("master_link_status:up"))
    await delay(10);
}

/** Waits until a replica has all data of its master. */
async function catchUp(master: RedisProcess, replica: RedisProcess): Promise<void> {
  const offsetOf = async (server: RedisProcess, field: string) =>
    new RegExp(`${field}:(\\d+)`).exec(String(await server.command("INFO", "replication")))?.[1];
  const target = Number(await offsetOf(master, "master_repl_offset"));
  while (!(Number(await offsetOf(replica, "slave_repl_offset")) >= target)) await delay(10);
}

async function masterWithReplica(): Promise<readonly [RedisProcess, RedisProcess]> {
  const master = await redisFor({ appendfsync: "always" });
  const replica = await redisFor({ appendfsync: "always", replicaOf: master });
  await replicates(replica);
  return [master, replica];
}

async function detachedReplica(): Promise<CopiedRedis> {
  const [master, replica] = await masterWithReplica();
  return {
    url: master.url,
    command: master.command,
    async backUp() {
      await catchUp(master, replica);
      await replica.command("REPLICAOF", "NO", "ONE");
    },
    async restore() {
      await master.command("REPLICAOF", "127.0.0.1", replica.port);
      await replicates(master);
      await master.command("REPLICAOF", "NO", "ONE");
    },
  };
}

async function demotedMaster(): Promise<CopiedRedis> {
  const [master, replica] = await masterWithReplica();
  return {
    url: master.url,
    command: master.command,
    async backUp() {
      await catchUp(master, replica);
      await replica.command("REPLICAOF", "NO", "ONE");
    },
    async restore() {
      await master.command("REPLICAOF", "127.0.0.1", replica.port);
      await replicates(master);
      // The replica was the master for a while, and becomes the replica again.
      await replica.command("SET", "written-meanwhile", "1");
      await catchUp(replica, master);
      await master.command("REPLICAOF", "NO", "ONE");
      await replica.command("REPLICAOF", "127.0.0.1", master.port);
      await replicates(replica);
    },
  };
}

const DEBUG = ["--enable-debug-command", "yes"];

async function reloadedFile(): Promise<CopiedRedis> {
  const redis = await redisFor({ args: DEBUG });
  return {
    url: redis.url,
    command: redis.command,
    backUp: async () => void (await redis.command("SAVE")),
    restore: async () => void (await redis.command("DEBUG", "RELOAD", "NOSAVE")),
  };
}

async function reloadedAppendFile(): Promise<CopiedRedis> {
  const redis = await redisFor({ appendfsync: "always", args: DEBUG });
  const files = join(redis.folder, "appendonlydir");
  const copy = join(redis.folder, "copy");
  return {
    url: redis.url,
    command: redis.command,
    backUp: async () => cp(files, copy, { recursive: true }),
    async restore() {
      await cp(copy, files, { recursive: true });
      await redis.command("DEBUG", "LOADAOF");
    },
  };
}

async function restoredDumps(): Promise<CopiedRedis> {
  const redis = await redisFor({ appendfsync: "always" });
  const dumps = new Map<Buffer, Buffer>();
  const connected = async <T>(work: (client: Redis) => Promise<T>): Promise<T> => {
    const client = new Redis(redis.port);
    try {
      return await work(client);
    } finally {
      client.disconnect();
    }
  };
  return {
    url: redis.url,
    command: redis.command,
    backUp: () =>
      connected(async (client) => {
        for (const key of await client.keysBuffer("*")) {
          const dump = await client.dumpBuffer(key);
          if (dump !== null) dumps.set(key, dump);
        }
      }),
    restore: () =>
      connected(async (client) => {
        const all = client.multi().flushall();
        for (const [key, dump] of dumps) all.restore(key, 0, dump);
        await all.exec();
      }),
  };
}
