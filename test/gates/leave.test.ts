import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  onTestFinished,
} from "vitest";
import { memoryStore } from "millrace";
import { connect } from "../bridge/line.ts";
import type { Door, Frames } from "../support/doors/door.ts";
import { SUBSCRIPTION_DOORS, doorNamed } from "../support/doors/doors.ts";
import { observeStore } from "../support/doors/observed-store.ts";
import { openProxy } from "../support/doors/proxy.ts";
import { uniqueName } from "../support/doors/unique.ts";
import { noise } from "../support/doors/values.ts";
import { websocketDoor } from "../support/doors/websocket-door.ts";
import { newCalls, promised } from "../support/gates/calls.ts";
import {
  type Gatehouse,
  type JoinPayload,
  openGatehouse,
  visit,
} from "../support/gates/gatehouse.ts";

/** A custom stream that cannot be read. */
const BROKEN = "broken";
const library = doorNamed("library");

/** Closes everything the test opened. */
const endAfter = (close: () => Promise<unknown>) =>
  onTestFinished(async () => void (await close()));

/** Follows a group, and resolves when the subscription is open. */
async function follow(door: Door, house: Gatehouse, groupId: string, timeoutMs?: number) {
  const client = door.client(house);
  endAfter(() => client.close());
  const options = timeoutMs === undefined ? undefined : { timeoutMs };
  const frames = await client.subscribe({ streamName: "rooms", groupId, itemId: "a" }, options);
  expect((await frames.next()).value).toMatchObject({ kind: "sync" });
  return frames;
}

/** Reads to the end, which must be an error. */
async function errorOf(frames: Frames): Promise<unknown> {
  try {
    for (;;) await frames.next();
  } catch (error) {
    return error;
  }
}

describe.each(SUBSCRIPTION_DOORS)("over $name", (door) => {
  let house: Gatehouse;
  beforeAll(async () => {
    house = await openGatehouse({
      gateTimeoutMs: 10_000,
      async setup(service) {
        await service.createStream(BROKEN, {
          list() {
            throw new Error("nobody home");
          },
        });
      },
    });
  });
  afterAll(async () => house?.server.close());
  beforeEach(() => {
    house.decide = () => undefined;
  });
  const ofGroup = (groupId: string) => (joined: JoinPayload) => joined.group_id === groupId;
  const left = async (groupId: string) => (await house.leavesSoFar()).filter(ofGroup(groupId));

  it("a cancelled subscription has one leave, with the payload of its join", async () => {
    const groupId = uniqueName("cancelled");
    const frames = await follow(door, house, groupId);
    expect(await left(groupId)).toEqual([]);
    await frames.return();
    await house.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    const received = await left(groupId);
    expect(received).toEqual(house.joins.all.filter(ofGroup(groupId)));
    expect(received).toEqual([
      {
        subscription_id: expect.stringMatching(/./) as string,
        connection_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        stream_name: "rooms",
        group_id: groupId,
        id: "a",
        context: null,
      },
    ]);
  });

  it("a refused join has none (G8)", async () => {
    const groupId = uniqueName("refused");
    house.decide = () => ({ unauthorized: true });
    if (door !== websocketDoor) await expect(follow(door, house, groupId)).rejects.toThrow(/./);
    else {
      const line = await connect(house.url, `/stream/rooms/${groupId}`);
      await line.count(1);
      line.socket.terminate();
    }
    expect(await left(groupId)).toEqual([]);
    expect(house.joins.all.some(ofGroup(groupId))).toBe(true);
  });

  it("an allowed join whose snapshot fails has one", async () => {
    const groupId = uniqueName("broken");
    const client = door.client(house);
    endAfter(() => client.close());
    const opened = client.subscribe({ streamName: BROKEN, groupId });
    const refused = opened.then((frames) => frames.next());
    await expect(refused).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await house.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    expect(await left(groupId)).toMatchObject([{ stream_name: BROKEN, id: null }]);
  });

  if (door !== library)
    it.each([
      ["allows", "once", undefined],
      ["refuses", "never", { unauthorized: true }],
    ])("a client that is gone when a gate %s its join has a leave %s", async (_, count, answer) => {
      const groupId = uniqueName("gone");
      const gate = promised<unknown>();
      house.decide = () => gate.promise;
      const client = door.client(house);
      endAfter(() => client.close());
      const frames = await client.subscribe({ streamName: "rooms", groupId });
      await house.joins.until("the gate", (all) => all.some(ofGroup(groupId)));
      await frames.return();
      // On a shared connection, the service processes that before it responds to this.
      await client.list({ streamName: "rooms", groupId });
      gate.resolve(answer);
      if (count === "once")
        await house.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
      expect(await left(groupId)).toHaveLength(count === "once" ? 1 : 0);
    });

  if (!door.can.deadlines) return;
  it("a subscription whose deadline passes has one", async () => {
    const groupId = uniqueName("deadline");
    const frames = await follow(door, house, groupId, 400);
    expect(await errorOf(frames)).toMatchObject({ code: "deadline_exceeded" });
    await house.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    expect(await left(groupId)).toHaveLength(1);
  });

  it("whose deadline passes at the gate has one once the gate allows it", async () => {
    const groupId = uniqueName("waiting");
    const gate = promised();
    house.decide = () => gate.promise;
    await expect(follow(door, house, groupId, 300)).rejects.toMatchObject({
      code: "deadline_exceeded",
    });
    await house.joins.until("the gate", (all) => all.some(ofGroup(groupId)));
    gate.resolve();
    await house.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    expect(await left(groupId)).toHaveLength(1);
  });
});

describe("a subscription that the service ends has one leave", () => {
  const MiB = 1024 * 1024;
  const LARGE = noise(512 * 1024);

  it.each(["library", "grpc", "connect-h1-json", "websocket"])(
    "over %s when it took nothing for too long (G7)",
    async (name) => {
      const door = SUBSCRIPTION_DOORS.find((each) => each.name === name) ?? library;
      let skewMs = 0;
      const house = await openGatehouse({
        store: memoryStore({ history: { maxBytes: 64 * MiB } }),
        subscriberQueue: { maxFrames: 10, maxBytes: 64 * 1024 },
        heartbeatIntervalMs: 50,
        now: () => performance.now() + skewMs,
      });
      const proxy = await openProxy(house.server.port);
      endAfter(async () => {
        await proxy.close();
        await house.server.close();
      });
      await follow(door, { ...house, url: proxy.url }, "slow");
      proxy.stall();
      const item = { streamName: "rooms", groupId: "slow", itemId: "a" };
      // More than the operating system buffers for a client that does not read.
      for (let n = 0; n < 24; n++) await house.service.set({ ...item, data: LARGE });
      // More than once, in case the operating system accepts more after the first time.
      const hurry = setInterval(() => (skewMs += 61_000), 50);
      await house.leaves.count(1);
      clearInterval(hurry);
      expect(await house.leavesSoFar()).toEqual(house.joins.all);
      expect(house.joins.all).toHaveLength(1);
    },
  );

  it.each(SUBSCRIPTION_DOORS)(
    "over $name when its store can no longer confirm it (G5)",
    async (door) => {
      const store = observeStore(memoryStore());
      const house = await openGatehouse({ store, heartbeatIntervalMs: 50 });
      endAfter(() => house.server.close());
      const frames = await follow(door, house, "unconfirmed");
      const mend = store.fail("heads", new Error("gone"));
      expect(await errorOf(frames)).toMatchObject({ reason: "STORE_UNAVAILABLE" });
      await house.leaves.count(1);
      mend();
      expect(await house.leavesSoFar()).toEqual(house.joins.all);
    },
  );
});

describe("each subscription of a socket has one leave", () => {
  const MORE = { streamName: "rooms", groupId: "more" };
  let house: Gatehouse;
  beforeAll(async () => {
    house = await openGatehouse({
      bridge: { maxSubscriptions: 3, pingIntervalMs: 100, maxFrameBytes: 1000 },
    });
  });
  afterAll(async () => house?.server.close());

  it.each([
    ["is closed", 1005, ({ socket }) => socket.close()],
    ["is cut", 1006, ({ socket }) => socket.terminate()],
    ["answers no pings", 4408, ({ socket }) => void (socket.pong = () => {})],
    ["sends what is too large", 1009, ({ socket }) => socket.send("x".repeat(2000))],
    ["joins too much", 4429, (line) => line.join({ ...MORE, subscriptionId: "s4" })],
    [
      "sends what is malformed",
      4400,
      ({ socket }) => {
        for (let n = 0; n < 10; n++) socket.send("?");
      },
    ],
  ] satisfies [string, number, (line: Awaited<ReturnType<typeof connect>>) => void][])(
    "that %s",
    async (_, code, end) => {
      const stem = uniqueName("socket");
      const isOurs = ({ group_id: groupId }: JoinPayload) => groupId.startsWith(stem);
      const line = await connect(house.url, `/stream/rooms/${stem}`);
      await line.count(1);
      line.join({ ...MORE, groupId: stem, id: "a", subscriptionId: "s1" });
      line.join({ ...MORE, groupId: `${stem}-b`, subscriptionId: "s2" });
      await line.count(3);
      end(line);
      expect(await line.closed).toBe(code);
      await house.leaves.until("three leaves", (all) => all.filter(isOurs).length >= 3);
      const received = (await house.leavesSoFar()).filter(isOurs);
      const byId = (a: JoinPayload, b: JoinPayload) =>
        a.subscription_id < b.subscription_id ? -1 : 1;
      expect(received.toSorted(byId)).toEqual(house.joins.all.filter(isOurs).toSorted(byId));
    },
  );
});

describe("leave handlers", () => {
  const group = { streamName: "rooms", groupId: "g" };
  let house: Gatehouse;
  beforeEach(async () => {
    house = await openGatehouse();
  });
  afterEach(() => house.server.close());

  it("are called after the join listeners, however long these take", async () => {
    const listener = promised();
    const order = newCalls<string>();
    await house.service.registerFunction("listener", async () => {
      order.record("join begins");
      await listener.promise;
      order.record("join ends");
    });
    await house.service.registerFunction("last", () => order.record("leave"));
    await house.service.registerTrigger({
      type: "stream:join",
      function_id: "listener",
      config: { gate: false },
    });
    await house.service.registerTrigger({ type: "stream:leave", function_id: "last" });
    await visit(house.service, group);
    await order.count(1);
    expect(house.leaves.all).toEqual([]);
    listener.resolve();
    expect(await order.count(3)).toEqual(["join begins", "join ends", "leave"]);
    expect(await house.leaves.count(1)).toHaveLength(1);
  });

  it("registered after a subscription opened get its leave, too", async () => {
    const frames = await house.service.subscribe(group);
    const late = newCalls<JoinPayload>();
    await house.service.registerFunction("late", late.record);
    const metadata = { why: "to tidy up" };
    await house.service.registerTrigger({ type: "stream:leave", function_id: "late", metadata });
    await frames.return?.();
    await house.leaves.count(1);
    expect(await late.count(1)).toEqual(house.joins.all);
  });

  it("are called once each, with the metadata of their trigger; a failing one delays no others", async () => {
    const received = newCalls<string>();
    for (const name of ["one", "two"]) {
      await house.service.registerFunction(name, (_, { metadata }) => {
        received.record(`${name} ${JSON.stringify(metadata)}`);
        throw new Error("no");
      });
      const trigger = { type: "stream:leave", function_id: name, metadata: { of: name } };
      await house.service.registerTrigger(trigger);
    }
    await visit(house.service, group);
    await visit(house.service, group);
    await received.count(4);
    await house.leaves.count(2);
    await house.leavesSoFar();
    // The last two are those of the mark.
    await received.count(6);
    expect(received.all.toSorted()).toEqual([
      ...Array(3).fill('one {"of":"one"}'),
      ...Array(3).fill('two {"of":"two"}'),
    ]);
  });

  it("are not called when their condition returns false", async () => {
    const received = newCalls<JoinPayload>();
    await house.service.registerFunction("some", received.record);
    await house.service.registerFunction("is some", ({ id }: JoinPayload) => id === "this");
    const config = { condition_function_id: "is some" };
    await house.service.registerTrigger({ type: "stream:leave", function_id: "some", config });
    for (const itemId of ["that", "this", "another"])
      await visit(house.service, { ...group, itemId });
    await visit(house.service, { ...group, itemId: "this" });
    expect(await received.count(2)).toMatchObject([{ id: "this" }, { id: "this" }]);
    expect(await house.leaves.count(4)).toHaveLength(4);
    expect(received.all).toHaveLength(2);
  });

  it("without a provider are called when they have one again", async () => {
    const received = newCalls<JoinPayload>();
    const first = await house.service.registerFunction("restarted", received.record);
    await house.service.registerTrigger({ type: "stream:leave", function_id: "restarted" });
    await first.unregister();
    await visit(house.service, group);
    await house.leaves.count(1);
    expect(received.all).toEqual([]);
    await house.service.registerFunction("restarted", received.record);
    expect(await received.count(1)).toEqual(house.joins.all);
  });
});
