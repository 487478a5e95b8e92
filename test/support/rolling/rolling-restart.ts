import { Agent, type RequestOptions, request } from "node:http";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { onTestFinished } from "vitest";
import { parse } from "yaml";
import { StreamService } from "millrace/v1";
import { PROJECT } from "../../../scripts/lib/project.mjs";
import { freePort } from "../long/child-server.ts";
import { startRedis } from "../redis/redis-server.ts";
import { startHaproxy } from "./haproxy.ts";
import { type CliProcess, startCli } from "./process.ts";

/** The extent of the restart, and the number of calls meanwhile. */
export interface RollingRestart {
  /** Number of processes to restart, one after the other; of three. */
  readonly restarts: number;
  /** Least number of calls. */
  readonly calls: number;
  /** `drain_delay` of the processes; undefined: their default. */
  readonly drainDelay?: string;
}

/** The outcome of the calls. */
export interface RollingResult {
  readonly calls: number;
  readonly failures: readonly string[];
  readonly longestMs: number;
  /** Items of acknowledged sets that are missing in the end. */
  readonly missing: readonly string[];
}

const TOKEN = "a-token";
const HEADERS = { authorization: `Bearer ${TOKEN}` };
const GROUP = { streamName: "chat", groupId: "rolling" };
/** Callers of each kind, and their pause between two calls in milliseconds. */
const CALLERS = 4;
const PAUSE_MS = 20;
/**
 * Calls of each caller before the first restart, which do not count as delayed: the first ones of
 * new processes are slow without a restart.
 */
const FIRST_CALLS = 10;

/** Restarts processes of a fleet behind the balancer of compose.yaml while clients call. */
export async function rollingRestart(options: RollingRestart): Promise<RollingResult> {
  const redis = await startRedis({ appendfsync: "always" });
  onTestFinished(async () => redis.dispose());
  const ports = await Promise.all([freePort(), freePort(), freePort()]);
  const start = async (port: number) =>
    startCli({
      env: {
        MILLRACE_PORT: String(port),
        MILLRACE_ADAPTER_NAME: "redis",
        MILLRACE_ADAPTER_CONFIG_REDIS_URL: redis.url,
        MILLRACE_API_TOKENS: TOKEN,
        ...(options.drainDelay !== undefined && { MILLRACE_DRAIN_DELAY: options.drainDelay }),
      },
    });
  const processes = await Promise.all(ports.map(start));
  onTestFinished(async () => {
    for (const { child } of processes) child.kill("SIGKILL");
    await Promise.all(processes.map(({ ended }) => ended));
  });
  const entry = await freePort();
  const url = `http://127.0.0.1:${entry}`;
  await startHaproxy(await balancerConfig(entry, ports), `${url}/healthz`);

  const kinds = kindsOfCaller(url);
  let isOver = false;
  let calls = 0;
  let longestMs = 0;
  let callersToBegin = CALLERS * kinds.length;
  let begin = () => {};
  const haveBegun = new Promise<void>((resolve) => (begin = resolve));
  const failures: string[] = [];
  const set: string[] = [];
  const callers = kinds.flatMap(({ kind, call }) =>
    Array.from({ length: CALLERS }, async (_, caller) => {
      for (let i = 0; !isOver || calls < options.calls; i++) {
        const itemId = `${kind}-${caller}-${i}`;
        const startedMs = performance.now();
        calls++;
        if (i === FIRST_CALLS && --callersToBegin === 0) begin();
        try {
          await call(itemId);
          set.push(itemId);
        } catch (error) {
          failures.push(`${kind}: ${String(error)}`);
        }
        if (i >= FIRST_CALLS) longestMs = Math.max(longestMs, performance.now() - startedMs);
        await delay(PAUSE_MS);
      }
    }),
  );
  await haveBegun;
  for (const [i, port] of ports.slice(0, options.restarts).entries()) {
    const before = processes[i] as CliProcess;
    before.child.kill("SIGTERM");
    const status = await before.ended;
    if (status !== 0) failures.push(`a process ended with ${status}`);
    processes[i] = await start(port);
    // The balancer checks every second.
    await delay(1500);
  }
  isOver = true;
  await Promise.all(callers);
  const [last] = processes;
  const found = await itemsAt((last as CliProcess).url);
  return { calls, failures, longestMs, missing: set.filter((itemId) => !found.has(itemId)) };
}

/** The balancer configuration of compose.yaml, for local processes. */
async function balancerConfig(entry: number, ports: readonly number[]): Promise<string> {
  const compose = parse(await readFile(join(PROJECT, "compose.yaml"), "utf8"), {
    merge: true,
  }) as { readonly configs: { readonly balancer: { readonly content: string } } };
  let config = compose.configs.balancer.content.replace("bind :3112", `bind 127.0.0.1:${entry}`);
  for (const [i, port] of ports.entries())
    config = config.replace(`millrace-${i + 1}:3112`, `127.0.0.1:${port}`);
  return config;
}

/** Callers with a connection per call, with keep-alive connections, and over gRPC. */
function kindsOfCaller(url: string) {
  const keep = new Agent({ keepAlive: true });
  onTestFinished(() => keep.destroy());
  const grpc = createClient(StreamService, createGrpcTransport({ baseUrl: url }));
  return [
    { kind: "new", call: async (itemId: string) => setOver1(url, itemId, false) },
    { kind: "kept", call: async (itemId: string) => setOver1(url, itemId, keep) },
    {
      kind: "grpc",
      call: async (itemId: string) => {
        const request = { ...GROUP, itemId, data: fromJson(ValueSchema, itemId) };
        await repeatedOnceRefused(() => grpc.set(request, { headers: HEADERS }));
      },
    },
  ];
}

/**
 * Repeats a call once if its stream is refused, as gRPC libraries do on their own: such a call was
 * not processed (RFC 9113, section 8.7). Node's client refuses a stream itself when it has not sent
 * it before the GOAWAY of the server arrives, whatever stream the GOAWAY names; Connect reports it.
 */
async function repeatedOnceRefused(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!String(error).includes("NGHTTP2_REFUSED_STREAM")) throw error;
    await call();
  }
}

/** Sets an item by a Connect call over HTTP/1.1. */
async function setOver1(url: string, itemId: string, agent: RequestOptions["agent"]) {
  const body = JSON.stringify({ ...GROUP, itemId, data: itemId });
  const headers = { ...HEADERS, "content-type": "application/json" };
  await new Promise<void>((resolve, reject) => {
    const call = request(
      `${url}/millrace.v1.StreamService/Set`,
      { method: "POST", headers, ...(agent !== undefined && { agent }) },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`${response.statusCode} ${text}`));
        });
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

async function itemsAt(url: string): Promise<ReadonlySet<string>> {
  const client = createClient(StreamService, createGrpcTransport({ baseUrl: url }));
  const found = new Set<string>();
  let pageToken = "";
  do {
    const page = await client.list({ ...GROUP, pageToken }, { headers: HEADERS });
    for (const { itemId } of page.items) found.add(itemId);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}
