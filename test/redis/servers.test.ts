import { spawn } from "node:child_process";
import { access } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Cluster, Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import { startCluster } from "../support/redis/redis-cluster.ts";
import { isAlive, redisPort } from "../support/redis/redis-process.ts";
import { startSentinels } from "../support/redis/redis-sentinel.ts";
import { type RedisProcess, startRedis } from "../support/redis/redis-server.ts";
import { describeWithRedis, redisProgram } from "../support/redis/required-redis.ts";

const CHILD = fileURLToPath(new URL("../support/redis/redis-child.mjs", import.meta.url));

/**
 * Runs redis-child.mjs like a test process that prints nothing else and never disposes of its
 * server.
 */
const HOST = `
  const { spawn } = require("node:child_process");
  spawn(process.execPath, process.argv.slice(1), { stdio: ["pipe", "inherit", "inherit"], detached: true });
`;

/** Every server of this file, with its first process. */
const started: { readonly server: RedisProcess; readonly pid: number }[] = [];

/** Records servers, and disposes of them after the test. */
function disposed<T extends { dispose(): Promise<void> }>(
  owner: T,
  servers: (owner: T) => readonly RedisProcess[],
): T {
  onTestFinished(async () => owner.dispose());
  for (const server of servers(owner)) started.push({ server, pid: server.pid });
  return owner;
}

const single = (server: RedisProcess) => [server];

/** A client, closed after the test. */
function client<T extends Redis | Cluster>(redis: T): T {
  onTestFinished(() => redis.disconnect());
  // Errors while its server is down are expected.
  redis.on("error", () => {});
  return redis;
}

/** The addresses in a URL. */
const addressesOf = (url: string) =>
  [...url.matchAll(/([\d.]+):(\d+)/g)].map(([, host = "", port]) => ({ host, port: Number(port) }));

describeWithRedis("Redis servers for the tests", () => {
  it("restart with their persistent data, at the same address", async () => {
    const server = disposed(await startRedis({ appendfsync: "always" }), single);
    const { pid, url } = server;
    expect(url).toBe(`redis://127.0.0.1:${server.port}`);
    const redis = client(new Redis(url));
    expect(await redis.set("key", "value")).toBe("OK");
    await server.restart();
    expect([server.url, isAlive(pid), isAlive(server.pid)]).toEqual([url, false, true]);
    expect(await redis.get("key")).toBe("value");
    await server.stop();
    await expect(server.command("PING")).rejects.toThrow("closed");
    const next = disposed(await startRedis({ port: server.port, folder: server.folder }), single);
    expect(next.url).toBe(url);
  });

  it("restart empty when they persist nothing", async () => {
    const server = disposed(await startRedis(), single);
    await server.command("SET", "key", "value");
    expect(await server.command("GET", "key")).toBe("value");
    await server.restart();
    expect(await server.command("GET", "key")).toBeNull();
  });

  it("pause and resume", async () => {
    const server = disposed(await startRedis(), single);
    server.pause();
    let replied = false;
    const reply = server.command("PING").finally(() => (replied = true));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(replied).toBe(false);
    server.resume();
    expect(await reply).toBe("PONG");
    server.pause();
    await server.stop();
  });

  it("report why they do not start, and why a command fails", async () => {
    const misled = startRedis({ args: ["--maxmemory", "much"] });
    await expect(misled).rejects.toThrow(/redis-server ended:[^]*argument must be/);
    const server = disposed(await startRedis({ args: ["--maxmemory", "10mb"] }), single);
    await expect(startRedis({ port: server.port })).rejects.toThrow("Address already in use");
    expect(await server.command("CONFIG", "GET", "maxmemory")).toEqual(["maxmemory", "10485760"]);
    await expect(server.command("NONSENSE")).rejects.toThrow("unknown command");
  });

  it("form a cluster", async () => {
    const sizes = await Promise.all(
      ([0, 1] as const).map(async (replicas) => {
        const cluster = disposed(await startCluster({ replicas }), ({ nodes }) => nodes);
        expect(cluster.url).toMatch(/^redis\+cluster:\/\/(127\.0\.0\.1:\d+(,|$)){3}$/);
        const redis = client(new Cluster(addressesOf(cluster.url)));
        for (const key of ["a", "b", "c", "d"]) {
          await redis.set(key, `value of ${key}`);
          expect(await redis.get(key)).toBe(`value of ${key}`);
        }
        const keys = cluster.nodes.map(async (node) => node.command("DBSIZE") as Promise<number>);
        const counts = (await Promise.all(keys)).slice(0, 3);
        expect(counts.reduce((sum, count) => sum + count)).toBe(4);
        return cluster.nodes.length;
      }),
    );
    expect(sizes).toEqual([3, 6]);
  });

  it("form a master with a replica and Sentinels", async () => {
    const all = disposed(await startSentinels(), ({ master, replica, sentinels }) => [
      master,
      replica,
      ...sentinels,
    ]);
    expect(all.url).toMatch(/^redis\+sentinel:\/\/(127\.0\.0\.1:\d+[,/]){3}millrace$/);
    expect(all.sentinels).toHaveLength(3);
    const redis = client(new Redis({ sentinels: addressesOf(all.url), name: "millrace" }));
    expect(await redis.set("key", "value")).toBe("OK");
    expect(await redis.wait(1, 1000)).toBe(1);
    expect(await all.master.command("GET", "key")).toBe("value");
    expect(await all.replica.command("GET", "key")).toBe("value");
  });

  it("end with the process that started them, however that ends", async () => {
    const redis = await redisProgram();
    if ("missing" in redis) throw new Error(redis.missing);
    const args = [redis.program, "--port", String(await redisPort())];
    const host = spawn(process.execPath, ["-e", HOST, CHILD, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let pid = 0;
    for await (const line of createInterface(host.stdout)) {
      pid = Number(/^redis-child: (\d+)$/.exec(line)?.[1] ?? 0);
      if (pid !== 0) break;
    }
    expect(isAlive(pid)).toBe(true);
    host.kill("SIGKILL");
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it("leave nothing behind", async () => {
    expect(started).toHaveLength(19);
    for (const { server, pid } of started) {
      expect([isAlive(pid), isAlive(server.pid)]).toEqual([false, false]);
      await expect(access(server.folder)).rejects.toThrow("ENOENT");
    }
  });
});
