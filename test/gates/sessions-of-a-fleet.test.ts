import { expect, it } from "vitest";
import { type Line, connect } from "../bridge/line.ts";
import { first, of, send } from "../bridge/notices.ts";
import type { JoinPayload } from "../support/gates/gated-server.ts";
import { type LeaveChild, startLeaveChild } from "../support/gates/leave-child.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";

const TIMEOUT_MS = 60_000;
/** Member timeout of the fleet, in milliseconds. */
const REGISTRY_TIMEOUT_MS = 2000;

/** Starts processes of one fleet. */
async function newFleet(presenceTimeoutMs: number) {
  const { url } = await sharedRedis();
  const keyPrefix = randomPrefix();
  const registryTimeoutMs = REGISTRY_TIMEOUT_MS;
  const store = { kind: "redis", url, keyPrefix, registryTimeoutMs } as const;
  const start = async () =>
    startLeaveChild({ store, gate: false, listens: true, presenceTimeoutMs, stuck: "stuck" });
  return { start, two: async () => Promise.all([start(), start()]) };
}

/** A socket that has said hello. */
async function greet({ url }: LeaveChild, session?: string) {
  const line = await connect(url, "/?user=ann");
  send(line, "hello", { version: 2, session });
  const { data } = await first(line, "welcome");
  const { resumed, connectionId } = data;
  return { line, session: data["session"] as string, resumed, connectionId };
}

async function join(line: Line, subscriptionId: string, groupId = "g") {
  const before = of(line.frames, "sync").length;
  line.join({ streamName: "rooms", groupId, subscriptionId });
  await line.until("a sync", (all) => of(all, "sync").length > before);
}

/** The calls of the processes of a fleet: any of them may serve a trigger. */
function callsOf(processes: readonly LeaveChild[], kind: "joins" | "leaves") {
  const all = (): JoinPayload[] => processes.flatMap((each) => [...each[kind].all]);
  return {
    ids: () =>
      all()
        .map((each) => each.subscription_id)
        .toSorted(),
    until: async (count: number) =>
      Promise.any(
        processes.map((each) => each[kind].until(`${count} ${kind}`, () => all().length >= count)),
      ),
  };
}

/**
 * Resolves when everything that was to be delivered before has been: a subscription of its own has
 * joined and left.
 */
async function settle(at: LeaveChild, processes: readonly LeaveChild[]) {
  const line = await connect(at.url, "/");
  const id = `barrier-${Math.random()}`;
  await join(line, id, id);
  line.socket.close();
  const isThere = (all: readonly JoinPayload[]) => all.some((each) => each.subscription_id === id);
  await Promise.any(processes.map(({ leaves }) => leaves.until("the barrier", isThere)));
}

const withoutBarriers = (ids: readonly string[]) => ids.filter((id) => !id.startsWith("barrier-"));

describeWithRedis("a session of a fleet over Redis", () => {
  it(
    "goes on at another process, neither leaves nor joins, and its old socket is closed with 4409",
    async () => {
      const fleet = await newFleet(1000);
      const both = await fleet.two();
      const [a, b] = both;
      const joins = callsOf(both, "joins");
      const leaves = callsOf(both, "leaves");
      const before = await greet(a);
      for (const id of ["one", "two", "lost"]) await join(before.line, id);
      await join(before.line, "left", "stuck");
      await joins.until(4);
      // Its leave is under way all the time.
      before.line.leave("left");
      await leaves.until(1);
      const after = await greet(b, before.session);
      expect(after).toMatchObject({ resumed: true, connectionId: before.connectionId });
      expect(await before.line.closed).toBe(4409);
      for (const id of ["one", "two"]) await join(after.line, id);
      // Only what is not joined again leaves, after the timeout.
      await leaves.until(2);
      const back = await greet(a, before.session);
      expect(back).toMatchObject({ resumed: true, connectionId: before.connectionId });
      for (const id of ["one", "two"]) await join(back.line, id);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await settle(a, both);
      expect(withoutBarriers(leaves.ids())).toEqual(["left", "lost"]);
      back.line.socket.close();
      await leaves.until(5);
      await settle(a, both);
      expect(withoutBarriers(leaves.ids())).toEqual(["left", "lost", "one", "two"]);
      expect(withoutBarriers(joins.ids())).toEqual(["left", "lost", "one", "two"]);
    },
    TIMEOUT_MS,
  );

  it(
    "goes on at once after its process was killed, and leaves when its client does not come back (G6)",
    async () => {
      const fleet = await newFleet(3000);
      const both = await fleet.two();
      const [killed, other] = both;
      const joins = callsOf(both, "joins");
      const leaves = callsOf([other], "leaves");
      const [kept, lost] = [await greet(killed), await greet(killed)];
      await join(kept.line, "kept");
      await join(lost.line, "lost");
      await joins.until(2);
      await killed.end("SIGKILL");
      const killedMs = performance.now();
      const after = await greet(other, kept.session);
      expect(after).toMatchObject({ resumed: true, connectionId: kept.connectionId });
      await join(after.line, "kept");
      expect(performance.now() - killedMs).toBeLessThan(REGISTRY_TIMEOUT_MS);
      await leaves.until(1);
      // Not before its client could have come back.
      expect(performance.now() - killedMs).toBeGreaterThanOrEqual(3000);
      await settle(other, [other]);
      expect(withoutBarriers(leaves.ids())).toEqual(["lost"]);
      expect(withoutBarriers(joins.ids())).toEqual(["kept", "lost"]);
      expect((await greet(other, lost.session)).resumed).toBe(false);
    },
    TIMEOUT_MS,
  );

  it(
    "goes on at a process that starts after the only one had stopped, by SIGKILL or SIGTERM",
    async () => {
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        const fleet = await newFleet(10_000);
        const one = await fleet.start();
        const before = await greet(one);
        await join(before.line, "kept");
        await one.joins.count(1);
        await one.end(signal);
        expect(one.leaves.all).toEqual([]);
        const next = await fleet.start();
        const after = await greet(next, before.session);
        expect(after).toMatchObject({ resumed: true, connectionId: before.connectionId });
        await join(after.line, "kept");
        await settle(next, [next]);
        expect(withoutBarriers(callsOf([next], "joins").ids())).toEqual([]);
        after.line.socket.close();
        await next.leaves.until("the leave", (all) =>
          all.some((each) => each.subscription_id === "kept"),
        );
      }
    },
    TIMEOUT_MS,
  );

  it(
    "goes on at another process while its own stands still, which delivers nothing of it afterwards",
    async () => {
      const fleet = await newFleet(10_000);
      const both = await fleet.two();
      const [stuck, other] = both;
      const before = await greet(stuck);
      await join(before.line, "kept");
      stuck.pause();
      try {
        const after = await greet(other, before.session);
        expect(after).toMatchObject({ resumed: true, connectionId: before.connectionId });
        await join(after.line, "kept");
        send(after.line, "call", {
          id: 1,
          method: "Set",
          params: { streamName: "rooms", groupId: "g", itemId: "i", data: 1 },
        });
        await first(after.line, "create");
      } finally {
        stuck.resume();
      }
      expect(await before.line.closed).toBe(4409);
      await settle(other, both);
      expect(withoutBarriers(callsOf(both, "leaves").ids())).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    "goes on at another process while its own stands still, which starts no call of it afterwards",
    async () => {
      const fleet = await newFleet(10_000);
      const [stuck, other] = await fleet.two();
      const item = { streamName: "rooms", groupId: "g", itemId: "i" };
      const set = (line: Line, id: number, data: string) =>
        send(line, "call", { id, method: "Set", params: { ...item, data } });
      const before = await greet(stuck);
      set(before.line, 1, "first");
      await first(before.line, "result");
      stuck.pause();
      // It arrives while the process stands still, and may be read before the request to release.
      set(before.line, 2, "old");
      const after = await greet(other, before.session);
      try {
        set(after.line, 1, "new");
        await first(after.line, "result");
      } finally {
        stuck.resume();
      }
      expect(await before.line.closed).toBe(4409);
      await settle(stuck, [stuck, other]);
      send(after.line, "call", { id: 2, method: "Get", params: item });
      const frames = await after.line.until("a value", (all) => of(all, "result").length === 2);
      const [, got] = of(frames, "result") as unknown as { data: { result: unknown } }[];
      expect(got?.data.result).toMatchObject({ item: { data: "new" } });
    },
    TIMEOUT_MS,
  );
});
