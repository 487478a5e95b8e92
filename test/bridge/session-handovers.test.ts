import { expect, it, onTestFinished } from "vitest";
import { uniqueName } from "../support/doors/unique.ts";
import { type Calls, newCalls } from "../support/gates/calls.ts";
import {
  type GatedServer,
  type JoinPayload,
  asLeave,
  openGatedServer,
} from "../support/gates/gated-server.ts";
import { randomPrefix } from "../support/redis/redis-stores.ts";
import { describeWithRedis } from "../support/redis/required-redis.ts";
import { sharedRedis } from "../support/redis/shared-redis.ts";
import { type Line, connect } from "./line.ts";
import { first, of, send } from "./notices.ts";

const PRESENCE_TIMEOUT_MS = 600;

interface Process {
  readonly gated: GatedServer;
  /** Calls of the join listener of the whole fleet. */
  readonly notified: Calls<JoinPayload>;
}

/** Two processes of one fleet, in this one. */
async function openTwo(presenceTimeoutMs = PRESENCE_TIMEOUT_MS): Promise<[Process, Process]> {
  const { url } = await sharedRedis();
  const store = { kind: "redis", url, keyPrefix: randomPrefix() } as const;
  const notified = newCalls<JoinPayload>();
  const open = async () => {
    const gated = await openGatedServer({
      store,
      presenceTimeoutMs,
      async setup(service) {
        await service.registerFunction("listener", (payload: JoinPayload) =>
          notified.record(asLeave(payload)),
        );
        const config = { gate: false };
        await service.registerTrigger({ type: "stream:join", function_id: "listener", config });
      },
    });
    onTestFinished(() => gated.server.close());
    return { gated, notified };
  };
  const a = await open();
  return [a, await open()];
}

async function greet({ gated: { url } }: Process, session?: string) {
  const line = await connect(url, "/");
  send(line, "hello", { version: 2, session });
  const { data } = await first(line, "welcome");
  return {
    line,
    session: data["session"] as string,
    resumed: data["resumed"],
    connectionId: data["connectionId"] as string,
  };
}

type Group = ReturnType<typeof newGroup>;
const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });

async function join(line: Line, group: Group, subscriptionId = "s") {
  const before = of(line.frames, "sync").length;
  line.join({ ...group, subscriptionId });
  await line.until("a sync", (all) => of(all, "sync").length > before);
}

/** The leaves of a group at all processes, up to now. */
async function leavesOf(all: readonly Process[], { groupId }: Group): Promise<number> {
  const leaves = await Promise.all(all.map(async ({ gated }) => gated.leavesSoFar()));
  return leaves.flat().filter((each) => each.group_id === groupId).length;
}
const passTimeout = async () =>
  new Promise((resolve) => setTimeout(resolve, 2 * PRESENCE_TIMEOUT_MS));

describeWithRedis("a session that is taken up at another process of a fleet", () => {
  it.each([
    ["is not joined again yet", false],
    ["is joined again", true],
  ])(
    "has subscriptions that are counted once when they are ended: one %s (G11)",
    async (_, isAgain) => {
      const [a, b] = await openTwo(10_000);
      const group = newGroup();
      const before = await greet(a);
      await join(before.line, group);
      const after = await greet(b, before.session);
      expect(after.resumed).toBe(true);
      if (isAgain) await join(after.line, group);
      const { connectionId } = before;
      const { entries } = await b.gated.service.subscriptions({ filter: { connectionId } });
      expect(entries).toHaveLength(isAgain ? 1 : 0);
      const filter = { groupId: group.groupId };
      if (isAgain)
        expect(await a.gated.service.recheckSubscriptions(filter)).toEqual({ kept: 1, ended: 0 });
      expect(await a.gated.service.endSubscriptions(filter)).toEqual({ ended: 1 });
      expect(await b.gated.service.endSubscriptions(filter)).toEqual({ ended: 0 });
    },
  );

  it("has one join and no leave when a join at a gate is made again there", async () => {
    const [a, b] = await openTwo();
    const group = newGroup();
    let allow = () => {};
    const allowed = new Promise<void>((resolve) => (allow = resolve));
    const asked = new Promise<void>((resolve) => {
      a.gated.decide = async ({ group_id: id }) => {
        if (id !== group.groupId) return;
        resolve();
        a.gated.decide = () => undefined;
        await allowed;
      };
    });
    b.gated.decide = a.gated.decide;
    const before = await greet(a);
    before.line.join({ ...group, subscriptionId: "s" });
    await asked;
    b.gated.decide = () => undefined;
    before.line.socket.terminate();
    const after = await greet(b, before.session);
    await join(after.line, group);
    allow();
    await passTimeout();
    expect(await leavesOf([a, b], group)).toBe(0);
    after.line.socket.close();
    await expect.poll(async () => leavesOf([a, b], group)).toBe(1);
    const { all } = a.notified;
    expect(all.filter(({ group_id: id }) => id === group.groupId)).toHaveLength(1);
  });
});
