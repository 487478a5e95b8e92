import { writeFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { SignJWT } from "jose";
import { AdminService, StreamService } from "millrace/v1";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { doorNamed } from "../support/doors/doors.ts";
import { type ChildServer, freePort, startChild } from "../support/long/child-server.ts";
import { type MemberLog, followAsMember } from "../support/long/member.ts";
import { LONG, seedOfRun } from "../support/long/violations.ts";
import { random } from "../support/random.ts";
import { startRedis } from "../support/redis/redis-server.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";

/*
 * A fleet of three processes whose members are removed from rooms under load, while processes are
 * killed. Each write has a number and a time at which it began. Whatever began after the service
 * answered a removal was committed later, and must not reach the removed member.
 */

const SECONDS = LONG ? 60 : 3;
const ROOMS = LONG ? 20 : 5;
const MEMBERS_PER_ROOM = LONG ? 10 : 4;
const WRITES_PER_SECOND = LONG ? 500 : 100;
const WRITERS = 20;
const REMOVAL_EVERY_MS = LONG ? 250 : 300;
const KILL_EVERY_MS = LONG ? 8000 : 1500;
/** Longest time that a removed member stays away, beside 300 ms. */
const MAX_ABSENCE_MS = LONG ? 3000 : 500;
const LEASE_MS = LONG ? 2000 : 1000;
const SECRET = "a secret of at least thirty-two bytes";
const KEY = "Bearer backend-key";
const CHILD = fileURLToPath(new URL("../support/long/gated-child.mjs", import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-revoked-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** An interval in which a user was no member of a room, as far as the test knows. */
interface Removal {
  readonly member: string;
  /** When the service had answered. */
  readonly answeredMs: number;
  /** When the member was added again. */
  addedMs: number;
}

const tokenOf = (sub: string) =>
  new SignJWT({ sub, exp: Math.floor(Date.now() / 1000) + 3600 })
    .setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(SECRET));

describeWithRedis("a fleet of three", () => {
  test(
    "delivers nothing to removed members that is committed after the response, and misses nothing for the others (G11)",
    async () => {
      const seed = seedOfRun();
      const dice = random(seed);
      const redis = await startRedis({ appendfsync: "always" });
      onTestFinished(async () => redis.dispose());
      const file = join(folder, "members.json");
      const rooms = Array.from({ length: ROOMS }, (_, i) => `room${i}`);
      const members = rooms.flatMap((room) =>
        Array.from({ length: MEMBERS_PER_ROOM }, (_, i) => ({ room, user: `${room}-user${i}` })),
      );
      const inside = new Map(rooms.map((room) => [room, new Set<string>()]));
      for (const { room, user } of members) inside.get(room)?.add(user);
      const save = () =>
        writeFile(
          file,
          JSON.stringify(
            Object.fromEntries([...inside].map(([room, users]) => [room, [...users]])),
          ),
        );
      await save();

      const start = (port: number) =>
        startChild(
          {
            options: {
              port,
              store: { kind: "redis", url: redis.url, registryTimeoutMs: LEASE_MS },
              heartbeatIntervalMs: 1000,
              auth: {
                keys: [{ name: "backend", key: "backend-key" }],
                jwt: [{ algorithms: ["HS256"], secret: SECRET }],
                rules: [{ actions: ["subscribe"], stream: "rooms" }],
              },
            },
            file,
          },
          { script: CHILD },
        );
      const ports = [await freePort(), await freePort(), await freePort()];
      const servers: ChildServer[] = await Promise.all(ports.map(start));
      onTestFinished(async () => void (await Promise.all(servers.map((server) => server.kill()))));
      const urls = () => servers.map(({ url }) => url);
      const clientOf = (url: string) => {
        const transport = createGrpcTransport({
          baseUrl: url,
          interceptors: [
            (next) => (request) => {
              request.header.set("authorization", KEY);
              return next(request);
            },
          ],
        });
        return {
          admin: createClient(AdminService, transport),
          streams: createClient(StreamService, transport),
        };
      };
      const over = new AbortController();
      setMaxListeners(0, over.signal);
      let endMs = performance.now() + SECONDS * 1000;

      const logs = new Map<string, MemberLog>();
      const following = members.map(async ({ room, user }, i) => {
        const log: MemberLog = { received: [], position: undefined, faults: [], ends: new Map() };
        logs.set(user, log);
        await followAsMember(
          {
            door: doorNamed(i % 2 === 0 ? "grpc" : "websocket"),
            urls,
            authorization: `Bearer ${await tokenOf(user)}`,
            group: { streamName: "rooms", groupId: room },
            dice: random(dice.below(2 ** 31)),
            signal: over.signal,
          },
          log,
        );
      });

      /** When each write began. */
      const begunMs: number[] = [];
      let acked = 0;
      const periodMs = (WRITERS * 1000) / WRITES_PER_SECOND;
      const writing = Array.from({ length: WRITERS }, async () => {
        let nextMs = performance.now() + dice.below(periodMs);
        let { streams } = clientOf(dice.pick(urls()));
        while (performance.now() < endMs) {
          const write = begunMs.push(performance.now()) - 1;
          try {
            await streams.set(
              {
                streamName: "rooms",
                groupId: dice.pick(rooms),
                itemId: `i${write % 20}`,
                data: { kind: { case: "numberValue", value: write } },
              },
              { timeoutMs: 5000 },
            );
            acked++;
          } catch {
            ({ streams } = clientOf(dice.pick(urls())));
            await sleep(50);
          }
          nextMs = Math.max(nextMs + periodMs, performance.now() - 1000);
          await sleep(Math.max(0, nextMs - performance.now()));
        }
      });

      const removals: Removal[] = [];
      let rechecks = 0;
      let unanswered = 0;
      /** Ends the subscriptions of a user; repeated until a process answers. */
      const remove = async (filter: { user: string; streamName: string; groupId: string }) => {
        for (;;) {
          const { admin } = clientOf(dice.pick(urls()));
          try {
            if (dice.chance(0.5)) await admin.endSubscriptions({ filter, reason: "Removed." });
            else {
              await admin.recheckSubscriptions({ filter });
              rechecks++;
            }
            return;
          } catch {
            unanswered++;
            await sleep(100);
          }
        }
      };
      const removing = (async () => {
        while (performance.now() < endMs) {
          await sleep(dice.below(2 * REMOVAL_EVERY_MS));
          const { room, user } = dice.pick(members);
          const users = inside.get(room) as Set<string>;
          if (!users.delete(user)) continue;
          await save();
          await remove({ user, streamName: "rooms", groupId: room });
          const removal: Removal = {
            member: user,
            answeredMs: performance.now(),
            addedMs: Infinity,
          };
          removals.push(removal);
          void sleep(300 + dice.below(MAX_ABSENCE_MS)).then(async () => {
            removal.addedMs = performance.now();
            users.add(user);
            await save();
          });
        }
      })();

      let kills = 0;
      const killing = (async () => {
        while (performance.now() < endMs - KILL_EVERY_MS / 2) {
          await sleep(KILL_EVERY_MS);
          const index = dice.below(servers.length);
          await servers[index]?.kill();
          kills++;
          servers[index] = await start(ports[index] as number);
        }
      })();

      await Promise.all([...writing, removing, killing]);
      endMs = 0;
      // Everybody is a member again, and catches up.
      await sleep(MAX_ABSENCE_MS + 500);
      for (const { room, user } of members) inside.get(room)?.add(user);
      await save();
      const { streams } = clientOf(urls()[0] as string);
      const heads = new Map(
        await Promise.all(
          rooms.map(async (room) => {
            const { position } = await streams.list({ streamName: "rooms", groupId: room });
            return [room, Number(position?.revision ?? 0)] as const;
          }),
        ),
      );
      const isBehind = () =>
        members.filter(
          ({ room, user }) => (logs.get(user)?.position?.revision ?? 0) !== heads.get(room),
        );
      for (const deadlineMs = performance.now() + 20_000; isBehind().length > 0;) {
        expect(performance.now(), `seed ${seed}: ${JSON.stringify(isBehind())}`).toBeLessThan(
          deadlineMs,
        );
        await sleep(50);
      }
      over.abort();
      await Promise.all(following);

      const late = removals.flatMap(({ member, answeredMs, addedMs }) =>
        (logs.get(member) as MemberLog).received.filter(
          ({ write, atMs }) => (begunMs[write] as number) > answeredMs && atMs < addedMs,
        ),
      );
      const faults = [...logs].flatMap(([user, log]) =>
        log.faults.map((fault) => `${user}: ${fault}`),
      );
      const deliveries = [...logs.values()].reduce((sum, { received }) => sum + received.length, 0);
      console.info(
        `revoked: ${members.length} members of ${ROOMS} rooms, ${acked} writes, ${deliveries} deliveries, ${kills} kills, ` +
          `${removals.length} removals (${rechecks} by recheck, ${unanswered} tries without an answer): ` +
          `${late.length} late deliveries, ${faults.length} gaps or repetitions (seed ${seed})`,
      );
      expect(removals.length).toBeGreaterThan(0);
      expect(late, `seed ${seed}`).toEqual([]);
      expect(faults, `seed ${seed}`).toEqual([]);
    },
    SECONDS * 1000 + 90_000,
  );
});
