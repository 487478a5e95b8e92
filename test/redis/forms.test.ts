import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { pino } from "pino";
import { describe, expect, it, onTestFinished } from "vitest";
import { createServer } from "millrace/server";
import { describeTarget, parseRedisUrl } from "../../src/redis/redis-url.ts";
import { slotOf } from "../../src/redis/topology.ts";
import { startSentinels } from "../support/redis/redis-sentinel.ts";
import { type RedisOptions, startRedis } from "../support/redis/redis-server.ts";
import { openForTest, randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { commit, contents, groupOf, put } from "../stores/suite/fixture.ts";

const group = groupOf("room");

async function redisFor(options: RedisOptions = {}) {
  const redis = await startRedis(options);
  onTestFinished(async () => redis.dispose());
  return redis;
}

/** Starts a server on a Redis, and collects its log. */
async function serverAt(url: string, keyPrefix = randomPrefix(), startTimeoutMs?: number) {
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const server = await createServer({
    port: 0,
    store: { kind: "redis", url, keyPrefix, startTimeoutMs },
    logger,
  });
  onTestFinished(() => server.close());
  return { server, lines };
}

describe("a redis_url", () => {
  it.each([
    ["redis://localhost", { form: "single", addresses: [{ host: "localhost", port: 6379 }] }],
    ["redis://h:7/3", { addresses: [{ host: "h", port: 7 }], database: 3, isEncrypted: false }],
    ["rediss://me:p%40ss@h", { isEncrypted: true, username: "me", password: "p@ss" }],
    ["redis://:secret@[::1]:7", { username: undefined, password: "secret" }],
    [
      "redis+sentinel://a,b:7/main?sentinel_password=x",
      {
        form: "sentinel",
        masterName: "main",
        sentinelPassword: "x",
        addresses: [
          { host: "a", port: 26_379 },
          { host: "b", port: 7 },
        ],
      },
    ],
    ["redis+sentinel://a/main/2", { masterName: "main", database: 2 }],
    ["rediss+cluster://a,b", { form: "cluster", isEncrypted: true }],
  ])("may be %s", (url, target) => {
    expect(parseRedisUrl(url)).toMatchObject(target);
  });

  it.each([
    ["http://h", "is not valid"],
    ["redis://", "is not valid"],
    ["redis://a,b", "has several hosts"],
    ["redis://h:70000", "has a port"],
    ["redis://h/x", "has a database that is not a number"],
    ["redis+sentinel://h", "names no master"],
    ["redis+cluster://h/1", "a cluster has only 0"],
    ["redis://h?timeout=1", "has an unknown parameter; it may have db, sentinel_username"],
    ["redis://h/1/2", "has too many parts"],
    ["redis://u:p%@h", "has a % that does not begin an encoded character"],
  ])("may not be %s", (url, problem) => {
    expect(() => parseRedisUrl(url)).toThrow(problem);
  });

  it("is displayed without secrets", () => {
    const url = "rediss+sentinel://me:secret@a,b:7/main/2?sentinel_password=secret";
    expect(describeTarget(parseRedisUrl(url))).toBe("rediss+sentinel://a:26379,b:7/main/2");
  });
});

describeWithRedis("Redis", () => {
  it("may use TLS, user and password, and another database", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-tls-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    await promisify(execFile)("openssl", [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
      ...["-keyout", key, "-out", certificate],
    ]);
    const redis = await redisFor({
      args: [
        ...["--tls-port", "0", "--tls-cert-file", certificate, "--tls-key-file", key],
        ...["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"],
      ],
    });
    const free = await redisFor();
    const tlsPort = free.port;
    await free.kill();
    await redis.command("CONFIG", "SET", "tls-port", tlsPort);
    await redis.command(
      ...(["ACL", "SETUSER", "millrace", "on", ">secret!", "~{tls*", "&{tls*"] as const),
      ...["+@all", "-@dangerous", "+info", "+config|get", "+script"],
    );
    const url = `rediss://millrace:secret%21@localhost:${tlsPort}/2`;
    // Node reads the certificate authority at startup.
    const program = `
      import { createServer } from "${join(import.meta.dirname, "../../dist/src/server/index.js")}";
      const server = await createServer({ port: 0, store: { kind: "redis", url: process.argv[1], keyPrefix: "tls" } });
      await server.service.set({ streamName: "stream", groupId: "room", itemId: "a", data: 1 });
      await server.close();
      console.log("stored");
    `;
    const run = (address: string) =>
      promisify(execFile)(process.execPath, ["--input-type=module", "-e", program, address], {
        env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
      });
    expect((await run(url)).stdout).toBe("stored\n");
    const keys = await redis.command("INFO", "keyspace");
    expect(String(keys)).toMatch(/db2:/);
    expect(String(keys)).not.toMatch(/db0:/);
    await expect(run(url.replace("secret%21", "wrong"))).rejects.toThrow(
      /denies access \(WRONGPASS/,
    );
  });

  it("holds the data of several services under separate prefixes", async () => {
    const redis = await redisFor();
    const [one, two] = [randomPrefix(), randomPrefix()];
    const first = await openForTest(redis.url, { keyPrefix: one });
    const second = await openForTest(redis.url, { keyPrefix: two });
    const again = await openForTest(redis.url, { keyPrefix: one });
    await commit(first.store, group, put("a", 1));
    await commit(second.store, group, put("b", 2));
    expect(await contents(again.store, group)).toEqual([["a", 1]]);
    expect(await contents(second.store, group)).toEqual([["b", 2]]);
    const keys = (await redis.command("KEYS", "*")) as string[];
    for (const key of keys.map(String)) expect(key).toMatch(/^\{test-[-0-9a-f]{36}:\w+\}/);
  });

  it("keeps its number of partitions, and is refused when its data has another format", async () => {
    const redis = await redisFor();
    const keyPrefix = randomPrefix();
    const { store } = await openForTest(redis.url, { keyPrefix, partitions: 3 });
    expect(store.outbox.partitions).toBe(3);
    const { store: later } = await openForTest(redis.url, { keyPrefix, partitions: 64 });
    expect(later.outbox.partitions).toBe(3);
    await redis.command("HSET", `{${keyPrefix}:layout}`, "format", "9");
    await expect(openForTest(redis.url, { keyPrefix })).rejects.toThrow(/has the format 9/);
  });

  it("is refused when it evicts data, with the setting named", async () => {
    const redis = await redisFor({ args: ["--maxmemory-policy", "allkeys-lru"] });
    await expect(serverAt(redis.url)).rejects.toThrow(
      /maxmemory-policy allkeys-lru.*may be noeviction/,
    );
  });

  it.each([
    [undefined, /keeps no append-only file/],
    ["everysec", /has appendfsync everysec/],
    ["always", undefined],
  ] as const)("is logged with its settings: appendfsync %s", async (appendfsync, warning) => {
    const redis = await redisFor(appendfsync === undefined ? {} : { appendfsync });
    const { lines } = await serverAt(redis.url);
    const settings = lines.find((line) => line.includes("connected to Redis")) ?? "{}";
    expect(JSON.parse(settings)).toMatchObject({
      appendfsync: appendfsync ?? "off",
      maxmemoryPolicy: "noeviction",
      replicas: 0,
      minReplicas: 0,
    });
    const warned = lines.some((line) => line.includes("can be lost when it crashes"));
    expect(warned).toBe(warning !== undefined);
    if (warning !== undefined) expect(lines.join("")).toMatch(warning);
  });

  it("is named without the password in the error when it is unreachable", async () => {
    const redis = await redisFor();
    await redis.kill();
    const url = redis.url.replace("//", "//me:hush@");
    const error = await serverAt(url, randomPrefix(), 500).catch((thrown: unknown) => thrown);
    expect(String(error)).toMatch(`Redis cannot be reached at redis://127.0.0.1:${redis.port} `);
    expect(String(error)).not.toMatch("hush");
  });

  it("may be a master named by Sentinels", async () => {
    const trio = await startSentinels();
    onTestFinished(async () => trio.dispose());
    const { store } = await openForTest(trio.url, { keyPrefix: randomPrefix() });
    await commit(store, group, put("a", 1));
    expect(await contents(store, group)).toEqual([["a", 1]]);
    const { lines } = await serverAt(trio.url);
    expect(lines.join("")).toMatch(/a failover can lose some. min_replicas makes that less likely/);
  });

  it("computes the same hash slots as slotOf", async () => {
    const redis = await redisFor({ cluster: true });
    for (const tag of [
      "millrace:0",
      "millrace:63",
      "millrace:fleet",
      "é\u{1f600}",
      "x".repeat(300),
    ])
      expect(slotOf(tag)).toBe(await redis.command("CLUSTER", "KEYSLOT", `{${tag}}:state`));
  });
});
