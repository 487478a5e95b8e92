import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { type ChildOptions, type ChildServer, startChild } from "../support/long/child-server.ts";
import { createRawGrpc } from "../support/long/raw-grpc.ts";
import { createRawSubscribe } from "../support/long/raw-subscribe.ts";
import { type Client, appendText, connect } from "../support/long/traffic.ts";
import { LONG } from "../support/long/violations.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

/* What appending to texts costs the server, while watchers with deltas follow. */

const APPENDS = 4000;
/** Texts that grow at once. */
const TEXTS = LONG ? 20 : 3;
/** Appends to each text that are measured. */
const MEASURED = LONG ? 200 : 60;
const WHERE = { streamName: "costs", groupId: "room" };
/** Measurements, of which the least counts: other processes only add to a CPU time. */
const ROUNDS = 3;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-deltas-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const textOf = (count: number) => String(count).padStart(6, "0");
const appendTo = (item: number, count: number) => ({
  itemId: `t${item}`,
  ops: [appendText(textOf(count))],
});

/** Appends to each text, one call for each. */
async function appendOneByOne(client: Client, from: number, to: number, group = WHERE) {
  for (let count = from; count < to; count++)
    for (let item = 0; item < TEXTS; item++)
      await client.update({ ...group, ...appendTo(item, count) });
}

/** Appends to each text, 100 in a call. */
async function appendInBatches(client: Client, from: number, to: number) {
  for (let start = from; start < to; start += 100) {
    const counts = Array.from({ length: Math.min(100, to - start) }, (_, i) => start + i);
    for (let item = 0; item < TEXTS; item++) {
      const mutations = counts.map((count) => ({
        mutation: { case: "update" as const, value: appendTo(item, count) },
      }));
      await client.batch({ ...WHERE, mutations });
    }
  }
}

/** Follows the group with deltas, over gRPC and over a WebSocket. */
async function follow(url: string): Promise<void> {
  const over = new AbortController();
  const subscribe = createRawSubscribe(createRawGrpc(url));
  const reading = (async () => {
    for await (const _ of subscribe({ ...WHERE, deltas: true }, over)) continue;
  })().catch(() => {});
  const socket = new WebSocket(`${url.replace("http", "ws")}/?compress=deltas`);
  await once(socket, "open");
  const data = { subscriptionId: "s", ...WHERE, deltas: true };
  socket.send(JSON.stringify({ type: "join", data }));
  await once(socket, "message");
  onTestFinished(async () => {
    over.abort();
    socket.terminate();
    await reading;
  });
}

/** CPU time of the server for an append with a response, early and late, in microseconds. */
async function growthOf(server: ChildServer): Promise<readonly [early: number, late: number]> {
  const client = connect(server.url);
  // The code is compiled by then.
  await appendOneByOne(client, 0, 100, { ...WHERE, groupId: "warm-up" });
  await follow(server.url);
  const measure = async (from: number): Promise<number> => {
    let least = Infinity;
    const count = MEASURED / ROUNDS;
    for (let start = from; start < from + MEASURED; start += count) {
      const before = await server.collect();
      await appendOneByOne(client, start, start + count);
      // Deliveries are over by then.
      await sleep(50);
      const { cpuUs } = await server.collect();
      least = Math.min(least, (cpuUs - before.cpuUs) / (TEXTS * count));
    }
    return least;
  };
  await appendInBatches(client, 0, 100);
  const early = await measure(100);
  await appendInBatches(client, 100 + MEASURED, APPENDS - MEASURED);
  const late = await measure(APPENDS - MEASURED);
  const { item } = await client.get({ ...WHERE, itemId: "t0" });
  const texts = Array.from({ length: APPENDS }, (_, i) => textOf(i)).join("");
  const text = item?.data?.kind;
  expect(text?.case === "structValue" && text.value.fields["text"]?.kind.value).toBe(texts);
  return [early, late];
}

async function measured(name: string, options: ChildOptions): Promise<number> {
  const server = await startChild(options);
  onTestFinished(() => server.kill());
  const [early, late] = await growthOf(server);
  const ratio = late / early;
  console.info(
    `deltas, ${name}: ${early.toFixed(0)} us of CPU for the 100th append, ${late.toFixed(0)} us for append ${APPENDS}: ${ratio.toFixed(2)} times as much`,
  );
  return ratio;
}

describe.each(["in_memory", "file_based"] as const)("a service with store %s", (kind) => {
  test(
    `needs at most twice the CPU time of append 100 for append ${APPENDS} to a text`,
    async () => {
      const store = kind === "in_memory" ? { kind } : ({ kind, folder } as const);
      expect(await measured(kind, { port: 0, store })).toBeLessThan(2);
    },
    LONG ? 600_000 : 120_000,
  );
});

describeWithRedis("a service with redis", () => {
  test(
    `appends ${APPENDS} times to a text in bounded CPU time`,
    async () => {
      const redis = await startRedis({});
      onTestFinished(() => redis.dispose());
      const options = { port: 0, store: { kind: "redis", url: redis.url } } as const;
      // Redis and the service exchange the value of an item with each write.
      expect(await measured("redis", options)).toBeLessThan(4);
    },
    LONG ? 600_000 : 120_000,
  );
});
