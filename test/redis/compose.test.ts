import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, type Socket, connect as connectTo, createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { StreamService } from "millrace/v1";
import { start } from "../docs/processes.ts";
import { startConfigured } from "../support/redis/redis-server.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

const PROJECT = join(import.meta.dirname, "../..");
const CLI = join(PROJECT, "dist/src/server/cli.js");
const TOKEN = "a-token";

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly command?: readonly string[];
        readonly environment?: Readonly<Record<string, string>>;
      }
    >
  >;
  readonly configs: { readonly balancer: { readonly content: string } };
}

const compose = parse(await readFile(join(PROJECT, "compose.yaml"), "utf8"), {
  merge: true,
}) as Compose;

/** Forwards connections to some ports, round robin, like the balancer of compose.yaml. */
async function openBalancer(ports: readonly number[]) {
  const sockets = new Set<Socket>();
  let turn = 0;
  const server = createServer((near) => {
    const far = connectTo(ports[turn++ % ports.length] ?? 0, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy());
      one.on("close", () => (sockets.delete(one), other.destroy()));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("compose.yaml", () => {
  it("is valid for Docker Compose", async (context) => {
    const run = promisify(execFile);
    try {
      await run("docker", ["compose", "version"]);
    } catch {
      return context.skip("docker compose is not installed here");
    }
    const { stdout } = await run("docker", ["compose", "config", "--quiet"], { cwd: PROJECT });
    expect(stdout).toBe("");
  });

  it("balances over all of its processes", () => {
    const processes = Object.keys(compose.services).filter((name) => name.startsWith("millrace-"));
    expect(processes).toHaveLength(3);
    const { content } = compose.configs.balancer;
    for (const name of processes) expect(content).toContain(`server ${name} ${name}:3112`);
  });
});

describeWithRedis("the services of compose.yaml, as processes of this machine,", () => {
  it("behave as one service: subscribers of each process receive writes of the others", async () => {
    const [, ...flags] = compose.services["redis"]?.command ?? [];
    const redis = await startConfigured([], { args: flags });
    onTestFinished(async () => redis.dispose());
    const names = Object.keys(compose.services).filter((name) => name.startsWith("millrace-"));
    const ports = await Promise.all(
      names.map(async (name) => {
        const environment = Object.entries(compose.services[name]?.environment ?? {})
          .map(([key, value]) => [
            key,
            value
              .replace("redis://redis:6379", redis.url)
              .replace(/\$\{MILLRACE_API_TOKENS:.*\}/, TOKEN)
              .replace("0.0.0.0", "127.0.0.1"),
          ])
          .map(([key, value]) => `${key}='${value}'`)
          .join(" ");
        const running = start(
          // Nobody balances here, so nobody has to learn that a process stops.
          `${environment} MILLRACE_DRAIN_DELAY=0s exec '${process.execPath}' '${CLI}' serve --port 0`,
          PROJECT,
        );
        onTestFinished(() => running.stop());
        const line = await running.shows((text) => text.includes("listening on"));
        return Number(/:(\d+)\s*$/.exec(line)?.[1]);
      }),
    );
    const url = await openBalancer(ports);
    const headers = { authorization: `Bearer ${TOKEN}` };
    // Three connections: every process has one.
    const clients = ports.map(() =>
      createClient(StreamService, createGrpcTransport({ baseUrl: url })),
    );
    const group = { streamName: "chat", groupId: "lobby" };
    const subscriptions = await Promise.all(
      clients.map(async (client) => {
        const iterator = client.subscribe(group, { headers })[Symbol.asyncIterator]();
        onTestFinished(async () => void (await iterator.return?.(undefined)));
        expect((await iterator.next()).value?.frame.case).toBe("sync");
        return iterator;
      }),
    );
    for (const [i, client] of clients.entries()) {
      const data = fromJson(ValueSchema, `from ${i}`);
      await client.set({ ...group, itemId: `m${i}`, data }, { headers });
    }
    for (const iterator of subscriptions) {
      for (const i of clients.keys()) {
        const { frame } = (await iterator.next()).value ?? { frame: { case: undefined } };
        if (frame.case !== "change") throw new Error(`a ${frame.case} in place of a change`);
        expect([frame.value.itemId, Number(frame.value.position?.revision)]).toEqual([
          `m${i}`,
          i + 1,
        ]);
      }
    }
  }, 30_000);
});
