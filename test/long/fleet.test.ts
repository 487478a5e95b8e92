import { setMaxListeners } from "node:events";
import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import type { Position } from "../../src/core/position.ts";
import { HeldItems, createRecorder, memorySink } from "../support/checker/index.ts";
import { type Proxy, openProxy } from "../support/doors/proxy.ts";
import { BridgeClient } from "../support/long/bridge-client.ts";
import { type ChildServer, freePort, startChild } from "../support/long/child-server.ts";
import { callsOf, leavesOf } from "../support/long/fleet-calls.ts";
import { LONG, expectNoViolations, seedOfRun } from "../support/long/violations.ts";
import { createPipe } from "../support/long/pipe.ts";
import { createProgress } from "../support/long/progress.ts";
import { type RawGrpc, createRawGrpc } from "../support/long/raw-grpc.ts";
import { createRawSubscribe } from "../support/long/raw-subscribe.ts";
import { REVOCABLE_AUTH, createRevoker } from "../support/long/revoker.ts";
import { connect, createWriter, follow, itemNames } from "../support/long/traffic.ts";
import { list } from "../support/long/reads.ts";
import { expectExactCounters, openUpdatedItems } from "../support/long/updated-items.ts";
import { random } from "../support/random.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

/*
 * Three processes over one Redis, with all faults at once: the checker verifies what subscribers
 * received; the test compares trigger calls with changes, and leaves with joins.
 */

const SECONDS = LONG ? 60 : 4;
const GROUPS = Array.from({ length: LONG ? 100 : 12 }, (_, i) => `g${i}`);
const WRITES_PER_GROUP = LONG ? 20 : 10;
/** Subscribers of each group: two over gRPC, one over a WebSocket. */
const GRPC_FOLLOWERS = 2;
const WRITERS = LONG ? 40 : 12;
const ITEMS = itemNames(10);
/** Newest items in the snapshots of a third of the subscribers. */
const WINDOW = 5;
const INSTANCES = ["a", "b", "c"] as const;
const CONNECTIONS = 8;
const REVOKE_EVERY_MS = LONG ? 100 : 150;
const LEASE_MS = LONG ? 10_000 : 2000;
/** Further delay of a leave: the next check, a Redis that is down, a busy machine. */
const LEAVE_SLACK_MS = 6000;
const CHILD = fileURLToPath(new URL("../support/long/fleet-child.mjs", import.meta.url));

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-fleet-"));
  file = join(folder, "calls");
  await appendFile(file, "");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A process of the fleet, and the proxies that clients connect to. */
interface Instance {
  readonly name: string;
  server: ChildServer;
  readonly proxy: Proxy;
  readonly start: () => Promise<ChildServer>;
}

async function startInstance(name: string, url: string, refused: string): Promise<Instance> {
  const port = await freePort();
  const options = {
    port,
    store: { kind: "redis", url, registryTimeoutMs: LEASE_MS },
    heartbeatIntervalMs: 2000,
    history: { maxChanges: 100_000, maxBytes: 1 << 28 },
    auth: REVOCABLE_AUTH,
  };
  const start = () => startChild({ options, name, file, refused }, { script: CHILD });
  const server = await start();
  return { name, server, proxy: await openProxy(port), start };
}

describeWithRedis("a fleet", () => {
  test(
    `misses, repeats and reorders nothing while Redis restarts, a member is killed, connections are cut and subscriptions are ended (G1 to G4, G10, G11)`,
    async () => {
      const seed = seedOfRun();
      const dice = random(seed);
      const redis = await startRedis({ appendfsync: "always" });
      onTestFinished(async () => redis.dispose());
      const refused = join(folder, "refused");
      const instances = await Promise.all(
        INSTANCES.map((name) => startInstance(name, redis.url, refused)),
      );
      onTestFinished(async () => {
        await Promise.all(instances.map(({ server }) => server.kill()));
        await Promise.all(instances.map(({ proxy }) => proxy.close()));
      });
      const sink = memorySink();
      const progress = createProgress(sink);
      const recorder = (client: string) => createRecorder({ client, sink: progress });
      const over = new AbortController();
      setMaxListeners(0, over.signal);
      let endMs = Infinity;
      const revoker = await createRevoker({
        urls: () => instances.map(({ server }) => server.url),
        dice: random(dice.below(2 ** 31)),
        refused,
        everyMs: REVOKE_EVERY_MS,
      });
      for (const group of GROUPS) {
        const client = connect((instances[0] as Instance).server.url);
        await openUpdatedItems(client, recorder(`open-${group}`), group, ITEMS);
      }
      const positions = new Map<string, { group: string; position: Position | undefined }>();

      const anyCalls = () => connect((instances[dice.below(3)] as Instance).proxy.url);
      const writers = Array.from({ length: WRITERS }, async (_, i) => {
        const own = random(dice.below(2 ** 31));
        const periodMs = (1000 * WRITERS) / (GROUPS.length * WRITES_PER_GROUP);
        let nextMs = performance.now() + own.below(periodMs);
        for (let life = 0; performance.now() < endMs; life++) {
          const { url } = (instances[(i + life) % instances.length] as Instance).proxy;
          const name = `w${i}-${life}`;
          const usesPipe = i % 8 !== 0;
          const pipe = usesPipe ? createPipe(createRawGrpc(url)) : undefined;
          const writer = createWriter({
            calls: pipe ?? connect(url),
            pipe: usesPipe,
            recorder: recorder(name),
            dice: own,
            groups: GROUPS,
            items: ITEMS,
            name,
            retry: i % 2 === 0 ? { calls: anyCalls, signal: over.signal } : undefined,
          });
          // Each connection is used for a while, so that all of them are used and lost.
          const lifeEndMs = performance.now() + 1000 + own.below(10_000);
          while (performance.now() < Math.min(endMs, lifeEndMs)) {
            await sleep(Math.max(0, nextMs - performance.now()));
            nextMs = Math.max(nextMs + periodMs, performance.now() - 1000);
            const startedMs = performance.now();
            await writer.step();
            // A call fails at once when its connection was cut or its process is down.
            if (performance.now() - startedMs > 0.5) continue;
            await sleep(20);
            break;
          }
          pipe?.close();
        }
      });

      const raws = instances.map(({ proxy }) =>
        Array.from({ length: CONNECTIONS }, () => createRawGrpc(proxy.url)),
      );
      const followers = GROUPS.flatMap((group, g) =>
        Array.from({ length: GRPC_FOLLOWERS }, async (_, i) => {
          const own = random(dice.below(2 ** 31));
          const key = `${group}-${i}`;
          const deltas = i % 2 === 0 ? new HeldItems() : undefined;
          const authorization = await revoker.authorizationOf(key);
          for (let life = 0; !over.signal.aborted; life++) {
            const known = positions.get(key)?.position;
            const grpc = raws[(g + i + life) % raws.length]?.[g % CONNECTIONS] as RawGrpc;
            const subscribe = createRawSubscribe(grpc, authorization);
            const position = await follow({
              subscribe,
              recorder: revoker.recorderOf(key, recorder(`s-${key}-${life}`)),
              group,
              resumeFrom: known,
              deltas,
              window: (g + i) % 3 === 0 ? WINDOW : undefined,
              signal: over.signal,
              onFrame: (at) => {
                if (at !== undefined) positions.set(key, { group, position: at });
              },
            });
            positions.set(key, { group, position: position ?? known });
            if (!over.signal.aborted) await sleep(own.below(300));
          }
        }),
      );

      const sockets = new Set<BridgeClient>();
      /** When the client of each socket subscription saw its end. */
      const ended = new Map<string, number>();
      const socketFollowers = GROUPS.map(async (group, g) => {
        const own = random(dice.below(2 ** 31));
        const user = `${group}-socket`;
        const authorization = await revoker.authorizationOf(user);
        for (let life = 0; !over.signal.aborted; life++) {
          const { url } = (instances[(g + life) % instances.length] as Instance).proxy;
          const client = new BridgeClient({
            url,
            streamName: "long",
            recorder: () => revoker.recorderOf(user, recorder(`b-${group}-${life}`)),
            authorization,
            follows: [{ group, deltas: (g + life) % 2 === 0 }],
            idPrefix: `b-${group}-${life}-`,
          });
          sockets.add(client);
          await client.closed;
          sockets.delete(client);
          ended.set(`b-${group}-${life}-0`, Date.now());
          if (!over.signal.aborted) await sleep(own.below(300));
        }
      });

      const injectFaults = async () => {
        const step = (SECONDS * 1000) / 6;
        await sleep(step);
        await redis.restart();
        await sleep(step);
        const killed = instances[1] as Instance;
        await killed.server.kill();
        killed.proxy.cut();
        await sleep(step / 2);
        killed.server = await killed.start();
        await sleep(step);
        await redis.restart();
        await sleep(step);
      };
      const cutting = (async () => {
        while (!over.signal.aborted && performance.now() < endMs) {
          await sleep(300 + dice.below(1500));
          (instances[dice.below(instances.length)] as Instance).proxy.cut();
        }
      })();
      const traffic = new AbortController();
      const revoking = revoker.run(traffic.signal);
      await Promise.all([injectFaults(), sleep(SECONDS * 1000)]);
      endMs = 0;
      traffic.abort();
      await Promise.all([...writers, cutting, revoking]);

      const heads = new Map<string, Position>();
      for (const [i, group] of GROUPS.entries()) {
        const { url } = (instances[i % instances.length] as Instance).server;
        heads.set(group, await list(connect(url), recorder(`final-${group}`), group, true));
      }
      const upToDate = () =>
        Array.from(positions.values()).every(
          ({ group, position }) => position?.revision === heads.get(group)?.revision,
        ) && Array.from(sockets).every((client) => client.isUpTo(heads));
      const deadlineMs = performance.now() + 30_000;
      while (!upToDate()) {
        if (performance.now() > deadlineMs)
          throw new Error("not all subscribers are up to date in time");
        await sleep(20);
      }
      over.abort();
      await Promise.all(followers);
      await Promise.all(Array.from(sockets, (client) => client.close()));
      await Promise.all(socketFollowers);

      // Every trigger is called with every change, in order; calls repeat only after a crash.
      const calls = await callsOf(file, INSTANCES, heads, 60_000);
      const leaves = await leavesOf(file, LEASE_MS + LEAVE_SLACK_MS + 10_000);
      const late = leaves.late(ended, LEASE_MS + LEAVE_SLACK_MS);
      console.info(
        `fleet triggers: ${calls.changes} changes, ${calls.total} calls, ${calls.repeated} of them repeated; ` +
          `${leaves.joins} joins, ${leaves.leaves} leaves, ${leaves.repeated} of them repeated`,
      );
      console.info(`fleet orders: ${revoker.summary}`);
      expect(revoker.ended).toBeGreaterThan(0);
      await expectExactCounters(
        connect((instances[0] as Instance).server.url),
        sink.records,
        GROUPS,
        ITEMS,
      );
      for (const { server } of instances) expect(await server.stop()).toBe(0);
      expectNoViolations("fleet", sink.records, { durable: true, slackMs: 8000 }, seed);
      expect(calls.disorder).toEqual([]);
      expect(leaves.missing).toEqual([]);
      expect(leaves.unknown).toEqual([]);
      expect(late).toEqual([]);
    },
    (SECONDS + 120) * 1000,
  );
});
