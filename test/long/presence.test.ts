import { readFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startChild } from "../support/long/child-server.ts";
import { PresenceWatcher } from "../support/long/presence-watcher.ts";
import { type ConnectionBook, PresentClient } from "../support/long/present-client.ts";
import { itemsOf } from "../support/long/present-group.ts";
import { LONG, seedOfRun } from "../support/long/violations.ts";
import { random } from "../support/random.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

/*
 * Clients that are present in the rooms of a fleet, and lose their connections all the time: half of
 * them come back with their sessions, the others anew. One process is killed meanwhile.
 */

const FORM = LONG
  ? { clients: 2000, rooms: 100, seconds: 60, timeoutMs: 10_000, leaseMs: 10_000 }
  : { clients: 60, rooms: 6, seconds: 3, timeoutMs: 1500, leaseMs: 2000 };
const PROCESSES = 3;
const WATCHERS_PER_ROOM = 2;
/** The share of the clients that are cut each second. */
const CUT_SHARE = 0.1;
const CUTS_PER_SECOND = 10;
/** Clients that connect at once at the start. */
const AT_ONCE = 50;
/** What several failures have left goes within two minutes. */
const SWEEP_MS = 120_000;
const CHILD = fileURLToPath(new URL("../support/long/present-child.mjs", import.meta.url));

describeWithRedis("presence in a fleet", () => {
  test(
    `shows who is connected, in order, while ${FORM.clients} clients are cut and one process is killed (G1, G2, G3)`,
    async () => {
      const seed = seedOfRun();
      const dice = random(seed);
      const folder = await mkdtemp(join(tmpdir(), "millrace-presence-"));
      onTestFinished(async () => rm(folder, { recursive: true, force: true }));
      const file = join(folder, "deletes");
      await writeFile(file, "");
      const redis = await startRedis();
      onTestFinished(async () => redis.dispose());
      const options = {
        port: 0,
        store: { kind: "redis", url: redis.url, registryTimeoutMs: FORM.leaseMs },
        presenceTimeoutMs: FORM.timeoutMs,
        heartbeatIntervalMs: 1000,
        callerLimits: { maxConnectionsPerAddress: 1_000_000 },
      };
      let up = await Promise.all(
        Array.from({ length: PROCESSES }, async () =>
          startChild({ options, file }, { script: CHILD }),
        ),
      );
      onTestFinished(async () => void (await Promise.all(up.map(async (each) => each.kill()))));
      const urls = () => up.map(({ url }) => url);

      const rooms = Array.from({ length: FORM.rooms }, (_, i) => `room${i}`);
      let onFrame = () => {};
      const watchers = rooms.flatMap((room, i) =>
        Array.from(
          { length: WATCHERS_PER_ROOM },
          (_, w) => new PresenceWatcher({ urls, number: i + w, room, onFrame: () => onFrame() }),
        ),
      );
      const book: ConnectionBook = {
        open: new Map(),
        over: new Map(),
        faults: [],
        counts: { resumed: 0, anew: 0, late: 0 },
      };
      const clients: PresentClient[] = [];
      onTestFinished(async () => {
        await Promise.all([...clients, ...watchers].map(async (each) => each.stop()));
      });
      while (clients.length < FORM.clients) {
        const some = Array.from(
          { length: Math.min(AT_ONCE, FORM.clients - clients.length) },
          (_, i) => {
            const room = rooms[(clients.length + i) % rooms.length] as string;
            const own = random(dice.below(2 ** 31));
            return new PresentClient({ urls, room, dice: own, timeoutMs: FORM.timeoutMs, book });
          },
        );
        clients.push(...some);
        await Promise.all(some.map(async (client) => client.ready()));
      }

      const endMs = performance.now() + FORM.seconds * 1000;
      const killMs = endMs - FORM.seconds * 500;
      let cuts = 0;
      while (performance.now() < endMs) {
        if (up.length === PROCESSES && performance.now() > killMs) {
          const [killed, ...others] = up;
          up = others;
          await killed?.kill();
        }
        const connected = clients.filter(({ isReady }) => isReady);
        for (let i = 0; i < (FORM.clients * CUT_SHARE) / CUTS_PER_SECOND; i++) {
          const comeback = dice.chance(0.5) ? "with its session" : "anew";
          if (connected.length === 0) break;
          const [client] = connected.splice(dice.below(connected.length), 1);
          client?.cut(comeback);
          cuts++;
        }
        dice.pick(watchers).cut();
        await sleep(1000 / CUTS_PER_SECOND);
      }

      const stoppedMs = performance.now();
      await Promise.all(clients.map(async (client) => client.ready()));
      const present = () => {
        const all = new Map(rooms.map((room) => [room, new Set<string>()]));
        for (const [id, room] of book.open) all.get(room)?.add(id);
        return all;
      };
      const wrong = () => {
        const all = present();
        return watchers.filter(({ room, present: shown }) => {
          const expected = all.get(room) ?? new Set();
          return shown.size !== expected.size || Array.from(shown).some((id) => !expected.has(id));
        });
      };
      await new Promise<void>((resolve, reject) => {
        const settleMs = FORM.leaseMs + 2 * FORM.timeoutMs + SWEEP_MS;
        const timer = setTimeout(() => {
          const what = wrong().map(({ room, present: shown }) => `${room} shows ${shown.size}`);
          reject(new Error(`seed ${seed}: ${what.slice(0, 5).join("; ")}`));
        }, settleMs);
        onFrame = () => {
          if (wrong().length > 0) return;
          clearTimeout(timer);
          onFrame = () => {};
          resolve();
        };
        onFrame();
      });
      const settledMs = Math.round(performance.now() - stoppedMs);

      const faults = [...book.faults, ...watchers.flatMap((watcher) => watcher.faults)];
      for (const { gone } of watchers) faults.push(...earlyEnds(gone, book));
      for (const [room, ids] of present()) {
        const [url] = urls() as [string, string];
        for (const streamName of ["millrace:presence:rooms", "cursors"]) {
          const shown = await itemsOf(url, streamName, room);
          if (shown.toSorted().join() !== Array.from(ids).toSorted().join())
            faults.push(`${streamName} of ${room} has ${shown.length} items of ${ids.size}`);
        }
      }
      const deletes = await deletesIn(file, book);
      faults.push(...deletes.faults);

      const { resumed, anew, late } = book.counts;
      const sum = (of: (watcher: PresenceWatcher) => number) =>
        watchers.reduce((total, watcher) => total + of(watcher), 0);
      console.info(
        `presence: ${FORM.clients} connections in ${FORM.rooms} rooms, ${cuts} cut, ${resumed} resumed (${late} came too late), ${anew} anew; ` +
          `${watchers.length} subscribers saw ${sum(({ changes }) => changes)} changes and ${sum(({ syncs }) => syncs)} snapshots; ` +
          `triggers saw ${deletes.count} disconnects, ${deletes.repeated} of them repeated; ` +
          `settled after ${settledMs} ms; ${faults.length} violations (seed ${seed})`,
      );
      expect(faults.slice(0, 20), `seed ${seed}`).toEqual([]);
    },
    (FORM.seconds + 300) * 1000,
  );
});

/** Connections that were seen to go before their clients had given them up. */
function earlyEnds(gone: ReadonlyMap<string, number>, { over }: ConnectionBook): string[] {
  return Array.from(gone).flatMap(([id, atMs]) => {
    const end = over.get(id);
    if (end === undefined) return [`${id} went, but its client is connected by it`];
    if (end.isLate || end.atMs <= atMs) return [];
    return [`${id} went ${Math.round(end.atMs - atMs)} ms before its client gave it up`];
  });
}

/**
 * Reads the deletes that triggers were called with, until all are there. A call repeats only after a
 * crash; then it has the same revision.
 */
async function deletesIn(file: string, { open, over }: ConnectionBook) {
  const deadlineMs = performance.now() + SWEEP_MS;
  for (;;) {
    const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
    const revisions = new Map<string, Set<string>>();
    const faults: string[] = [];
    for (const line of lines) {
      const [, revision = "", id = "", cause] = line.split(" ");
      revisions.set(id, (revisions.get(id) ?? new Set()).add(revision));
      if (cause !== "disconnected") faults.push(`the cursor of ${id} went by ${cause}`);
    }
    const missing = Array.from(over).filter(([id, { wasReady }]) => wasReady && !revisions.has(id));
    if (missing.length > 0 && performance.now() < deadlineMs) {
      await sleep(100);
      continue;
    }
    for (const [id] of missing) faults.push(`no trigger saw the disconnect of ${id}`);
    let count = 0;
    for (const [id, { size }] of revisions) {
      count += size;
      if (size > 1) faults.push(`triggers saw ${size} disconnects of ${id}`);
      if (open.has(id)) faults.push(`a trigger saw the disconnect of ${id}, which is connected`);
    }
    return { count, repeated: lines.length - count, faults };
  }
}
