import { get } from "node:http";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { type ServerOptions, createServer } from "millrace/server";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";
import { type CliProcess, startCli } from "../support/rolling/process.ts";

const GROUP = { streamName: "chat", groupId: "lobby" };

async function serverWith(options: ServerOptions) {
  const server = await createServer({ port: 0, store: { kind: "in_memory" }, ...options });
  onTestFinished(() => server.close({ drainDelayMs: 0 }));
  return server;
}

async function setAt(url: string): Promise<number> {
  const response = await fetch(`${url}/millrace.v1.StreamService/Set`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...GROUP, itemId: "a", data: 1 }),
  });
  return response.status;
}

const healthAt = async (url: string) => (await fetch(`${url}/healthz`)).status;

describe("a server that is closed with a drain delay", () => {
  it("reports not_serving at once, and continues to serve until the delay is over", async () => {
    const server = await serverWith({ drainDelayMs: 60_000 });
    const transport = createGrpcTransport({ baseUrl: server.url });
    const health = createClient(Health, transport);
    const frames = (await server.service.subscribe(GROUP))[Symbol.asyncIterator]();
    expect((await frames.next()).value?.kind).toBe("sync");
    const closed = server.close();
    expect((await health.check({})).status).toBe(Status.NOT_SERVING);
    expect(await healthAt(server.url)).toBe(503);
    expect(await setAt(server.url)).toBe(200);
    expect((await frames.next()).value?.kind).toBe("change");
    await server.close({ drainDelayMs: 0 });
    await closed;
    await expect(setAt(server.url)).rejects.toThrow("fetch failed");
    await expect(frames.next()).rejects.toMatchObject({ reason: "SHUTTING_DOWN" });
  });

  it("closes connections of HTTP/1.1 with their next response, so that clients connect elsewhere", async () => {
    const server = await serverWith({ drainDelayMs: 60_000 });
    const connectionOf = async () =>
      new Promise<string | undefined>((resolve, reject) => {
        get(`${server.url}/healthz`, { headers: { connection: "keep-alive" } }, (response) => {
          response.resume();
          resolve(response.headers.connection);
        }).on("error", reject);
      });
    expect(await connectionOf()).toBe("keep-alive");
    const closed = server.close();
    expect(await connectionOf()).toBe("close");
    await server.close({ drainDelayMs: 0 });
    await closed;
  });

  it("is closed when the delay has passed; a later call cannot lengthen it", async () => {
    const server = await serverWith({ drainDelayMs: 100 });
    const closed = server.close();
    await server.close({ drainDelayMs: 3_600_000 });
    await closed;
  });

  it("has no delay by default", async () => {
    const server = await serverWith({});
    const closed = server.close();
    await expect(setAt(server.url)).rejects.toThrow("fetch failed");
    await closed;
  });
});

async function cliWith(env: Readonly<Record<string, string>>): Promise<CliProcess> {
  const running = await startCli({
    env: { MILLRACE_PORT: "0", ...env },
  });
  onTestFinished(() => void running.child.kill("SIGKILL"));
  return running;
}

/** Resolves once health reports not_serving. */
async function leaves({ url }: CliProcess): Promise<void> {
  while ((await healthAt(url)) === 200);
}

const IN_MEMORY = { MILLRACE_ADAPTER_CONFIG_STORE_METHOD: "in_memory" };

describe("the command after a signal to stop", () => {
  it("continues to serve for drain_delay, and ends the delay at a second signal", async () => {
    const running = await cliWith({ ...IN_MEMORY, MILLRACE_DRAIN_DELAY: "10m" });
    running.child.kill("SIGTERM");
    await leaves(running);
    expect(await setAt(running.url)).toBe(200);
    running.child.kill("SIGINT");
    expect(await running.ended).toBe(0);
  });

  it("stops at once by default on one machine", async () => {
    const running = await cliWith(IN_MEMORY);
    running.child.kill("SIGTERM");
    expect(await running.ended).toBe(0);
    expect(running.errors()).toContain('"drain_delay_ms":0');
  });
});

describeWithRedis("the command over Redis after a signal to stop", () => {
  it("continues to serve for 5 s by default when there is no terminal", async () => {
    const { url } = await sharedRedis();
    const running = await cliWith({
      MILLRACE_ADAPTER_NAME: "redis",
      MILLRACE_ADAPTER_CONFIG_REDIS_URL: url,
      MILLRACE_ADAPTER_CONFIG_KEY_PREFIX: randomPrefix(),
    });
    running.child.kill("SIGTERM");
    await leaves(running);
    expect(await setAt(running.url)).toBe(200);
    expect(running.errors()).toContain('"drain_delay_ms":5000');
    running.child.kill("SIGTERM");
    expect(await running.ended).toBe(0);
  });
});
