import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { TriggerRequest } from "millrace";
import { type Worker, registerWorker } from "millrace/worker";
import { describe, expect, onTestFinished, test } from "vitest";
import { type ChildServer, freePort, startChild } from "../support/long/child-server.ts";
import { type Client, connect } from "../support/long/traffic.ts";
import { LONG, seedOfRun } from "../support/long/violations.ts";
import { random } from "../support/random.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { Projection, type StatePayload, itemsOf } from "../support/triggers/projection.ts";

/*
 * Durable triggers while their worker is away and their service is killed: compares what the worker
 * is called with with what the service holds.
 */

const AWAY_MS = LONG ? 60_000 : 3000;
const WRITES_PER_SECOND = 200;
const GROUPS = ["a", "b", "c", "d", "e"];
const ITEMS = 20;
const LOADED_MS = LONG ? 30_000 : 2000;
const TIMEOUT_MS = AWAY_MS + LOADED_MS + 120_000;

/** A service in a process of its own, which can be killed and started again with the same data. */
interface Service {
  readonly client: Client;
  readonly url: string;
  /** Kills it, and starts it again. */
  restart(): Promise<void>;
}

async function serve(store: object): Promise<Service> {
  const port = await freePort();
  let server: ChildServer | undefined;
  const start = async () => void (server = await startChild({ port, store }));
  await start();
  onTestFinished(async () => void (await server?.stop()));
  return {
    client: connect(`http://127.0.0.1:${port}`),
    url: `http://127.0.0.1:${port}`,
    async restart() {
      await server?.kill();
      await start();
    },
  };
}

/** Writes at a steady rate, until it is stopped. Writes that fail are repeated. */
function writeSteadily(client: Client) {
  const dice = random(seedOfRun());
  let isWriting = true;
  let count = 0;
  const write = async () => {
    const streamName = "chat";
    const item = { streamName, groupId: dice.pick(GROUPS), itemId: `i${dice.below(ITEMS)}` };
    const isDelete = dice.chance(0.1);
    const data = fromJson(ValueSchema, ++count);
    while (isWriting) {
      try {
        await (isDelete ? client.delete(item) : client.set({ ...item, data }));
        return;
      } catch {
        await sleep(20);
      }
    }
  };
  const run = async () => {
    const pending = new Set<Promise<void>>();
    const startMs = performance.now();
    for (let n = 1; isWriting; n++) {
      const written = write().finally(() => pending.delete(written));
      pending.add(written);
      await sleep(Math.max(0, startMs + (n * 1000) / WRITES_PER_SECOND - performance.now()));
    }
    await Promise.all(pending);
  };
  const running = run();
  return {
    get count() {
      return count;
    },
    async stop() {
      isWriting = false;
      await running;
    },
  };
}

function workerAt(url: string): Worker {
  const worker = registerWorker(url, { workerName: "test", reconnect: { maxMs: 200 } });
  onTestFinished(() => worker.shutdown());
  return worker;
}

const trigger = (config: object): TriggerRequest => ({
  type: "stream",
  function_id: "f",
  config: { stream_name: "chat", durable: "test", ...config },
});

async function headsOf(client: Client): Promise<Map<string, number>> {
  const heads = new Map<string, number>();
  for (const groupId of GROUPS) {
    const { position } = await client.list({ streamName: "chat", groupId, pageSize: 1 });
    heads.set(groupId, Number(position?.revision));
  }
  return heads;
}

async function untilTrue(holds: () => boolean | Promise<boolean>, what: () => string) {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(what());
    await sleep(20);
  }
}

function describeAway(name: string, open: () => Promise<object>): void {
  describe(`durable triggers ${name}`, () => {
    test(
      `give a worker that was away for ${AWAY_MS / 1000} s each change once, in order, through a kill of the service (G1, G2, G6)`,
      async () => {
        const service = await serve(await open());
        const received = new Map<string, number[]>(GROUPS.map((group) => [group, []]));
        const handler = ({ groupId, revision = 0 }: StatePayload) =>
          void received.get(groupId)?.push(revision);
        const total = () =>
          Array.from(received.values()).reduce((sum, { length }) => sum + length, 0);
        const writing = writeSteadily(service.client);
        const first = workerAt(service.url);
        await first.registerFunction("f", handler);
        await first.registerTrigger(trigger({}));
        await untilTrue(
          () => total() > 50,
          () => `${total()} calls`,
        );
        await first.shutdown();
        const before = total();
        await sleep(AWAY_MS / 2);
        await service.restart();
        await sleep(AWAY_MS / 2);
        expect(total()).toBe(before);
        const back = workerAt(service.url);
        await back.registerFunction("f", handler);
        await back.registerTrigger(trigger({}));
        await sleep(500);
        await writing.stop();
        const heads = await headsOf(service.client);
        const lastOf = (group: string) => received.get(group)?.at(-1);
        await untilTrue(
          () => GROUPS.every((group) => lastOf(group) === heads.get(group)),
          () => GROUPS.map((group) => `${lastOf(group)} of ${heads.get(group)}`).join(", "),
        );
        console.info(`${name}: ${total()} changes, ${before} of them before the worker was away`);
        for (const group of GROUPS) {
          const revisions = received.get(group) ?? [];
          // The first ones were made before the trigger was registered.
          const [start = 0] = revisions;
          expect(revisions).toEqual(Array.from(revisions, (_, i) => start + i));
        }
      },
      TIMEOUT_MS,
    );

    test(
      'with start: "state" make a projection from nothing that equals its source, under load and through a kill of the service (G3, G6)',
      async () => {
        const service = await serve(await open());
        const writing = writeSteadily(service.client);
        await untilTrue(
          () => writing.count > 100,
          () => `${writing.count} writes`,
        );
        const projection = new Projection({ takesRepetitions: true });
        const worker = workerAt(service.url);
        await worker.registerFunction("f", (payload: StatePayload) => projection.take(payload));
        await worker.registerTrigger(trigger({ start: "state" }));
        await sleep(LOADED_MS / 2);
        await service.restart();
        await sleep(LOADED_MS / 2);
        await writing.stop();
        const content = JSON.stringify(await sourceOf(service.client));
        await untilTrue(
          () => JSON.stringify(projection.content()) === content,
          () => `${JSON.stringify(projection.content())} is not ${content}`,
        );
        const { calls, repetitions, faults } = projection;
        console.info(`${name}: ${writing.count} writes, ${calls} calls, ${repetitions} repeated`);
        expect(faults).toEqual([]);
      },
      TIMEOUT_MS,
    );
  });
}

/** The content of the stream, in the form of a projection. */
async function sourceOf(client: Client): Promise<unknown> {
  const content = await Promise.all(
    GROUPS.map(async (groupId) => {
      const { items } = await client.list({ streamName: "chat", groupId, pageSize: 1000 });
      return [groupId, itemsOf(items)] as const;
    }),
  );
  return content.filter(([, items]) => items.length > 0);
}

describeAway("on disk", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-durable-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return { kind: "file_based", folder };
});

describeWithRedis("with Redis,", () => {
  describeAway("on Redis", async () => {
    const { url, dispose } = await startRedis();
    onTestFinished(dispose);
    return { kind: "redis", url, keyPrefix: randomPrefix(), registryTimeoutMs: 2000 };
  });
});
