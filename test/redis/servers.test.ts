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

/** Runs redis-child.mjs as a process of tests would, which says nothing else and never lets go. */
const HOST = `
  const { spawn } = require("node:child_process");
  spawn(process.execPath, process.argv.slice(1), { stdio: ["pipe", "inherit", "inherit"], detached: true });
`;

/** Every server of this file, with the process it had at first. */
const started: { readonly server: RedisProcess; readonly pid: number }[] = [];

/** Disposes of servers after the test, and remembers them. */
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
  // What it waits for, while its server is away.
  redis.on("error", () => {});
  return redis;
}

/** The addresses that a URL of ours lists. */
const addressesOf = (url: string) =>
  [...url.matchAll(/([\d.]+):(\d+)/g)].map(([, host = "", port]) => ({ host, port: Number(port) }));

describeWithRedis("servers of Redis for the tests", () => {
  it("come back with what they kept, at the same address", async () => {
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

  it("come back with nothing when they keep nothing", async () => {
    const server = disposed(await startRedis(), single);
    await server.command("SET", "key", "value");
    expect(await server.command("GET", "key")).toBe("value");
    await server.restart();
    expect(await server.command("GET", "key")).toBeNull();
  });

  it("stand still and go on", async () => {
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

  it("say why they do not come up, and what is wrong with a command", async () => {
    const misled = startRedis({ args: ["--maxmemory", "much"] });
    await expect(misled).rejects.toThrow(/redis-server ended:[^]*argument must be/);
    const server = disposed(await startRedis({ args: ["--maxmemory", "10mb"] }), single);
    await expect(startRedis({ port: server.port })).rejects.toThrow("Address already in use");
    expect(await server.command("CONFIG", "GET", "maxmemory")).toEqual(["maxmemory", "10485760"]);
    await expect(server.command("NONSENSE")).rejects.toThrow("unknown command");
  });

  it("are a cluster", async () => {
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

  it("are a master with a replica and sentinels", async () => {
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

  it("die with who started them, however that ends", async () => {
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
