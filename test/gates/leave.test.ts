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
  type GatedServer,
  type JoinPayload,
  openGatedServer,
  visit,
} from "../support/gates/gated-server.ts";

/** A custom stream that cannot be read. */
const BROKEN = "broken";
const library = doorNamed("library");

/** Closes a resource after the test. */
const endAfter = (close: () => Promise<unknown>) =>
  onTestFinished(async () => void (await close()));

/** Follows a group, and resolves when the subscription is open. */
async function follow(door: Door, gated: GatedServer, groupId: string, timeoutMs?: number) {
  const client = door.client(gated);
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

describe.each(SUBSCRIPTION_DOORS)("a subscription over $name", (door) => {
  let gated: GatedServer;
  beforeAll(async () => {
    gated = await openGatedServer({
      gateTimeoutMs: 10_000,
      async setup(service) {
        await service.createStream(BROKEN, {
          list() {
            throw new Error("unavailable");
          },
        });
      },
    });
  });
  afterAll(async () => gated?.server.close());
  beforeEach(() => {
    gated.decide = () => undefined;
  });
  const ofGroup = (groupId: string) => (joined: JoinPayload) => joined.group_id === groupId;
  const left = async (groupId: string) => (await gated.leavesSoFar()).filter(ofGroup(groupId));

  it("has one leave, with the payload of its join, when it is cancelled", async () => {
    const groupId = uniqueName("cancelled");
    const frames = await follow(door, gated, groupId);
    expect(await left(groupId)).toEqual([]);
    await frames.return();
    await gated.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    const received = await left(groupId);
    expect(received).toEqual(gated.joins.all.filter(ofGroup(groupId)));
    expect(received).toEqual([
      {
        subscription_id: expect.stringMatching(/./) as string,
        connection_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        stream_name: "rooms",
        group_id: groupId,
        id: "a",
        user: null,
        context: null,
      },
    ]);
  });

  it("has no leave when its join is refused (G8)", async () => {
    const groupId = uniqueName("refused");
    gated.decide = () => ({ unauthorized: true });
    if (door !== websocketDoor) await expect(follow(door, gated, groupId)).rejects.toThrow(/./);
    else {
      const line = await connect(gated.url, `/stream/rooms/${groupId}`);
      await line.count(1);
      line.socket.terminate();
    }
    expect(await left(groupId)).toEqual([]);
    expect(gated.joins.all.some(ofGroup(groupId))).toBe(true);
  });

  it("has one leave when its snapshot fails after the gate allowed it", async () => {
    const groupId = uniqueName("broken");
    const client = door.client(gated);
    endAfter(() => client.close());
    const opened = client.subscribe({ streamName: BROKEN, groupId });
    const refused = opened.then((frames) => frames.next());
    await expect(refused).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await gated.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    expect(await left(groupId)).toMatchObject([{ stream_name: BROKEN, id: null }]);
  });

  if (door !== library)
    it.each([
      ["allows", "one leave", undefined],
      ["refuses", "no leave", { unauthorized: true }],
    ])("whose client is gone when a gate %s it has %s", async (_, count, answer) => {
      const groupId = uniqueName("gone");
      const gate = promised<unknown>();
      gated.decide = () => gate.promise;
      const client = door.client(gated);
      endAfter(() => client.close());
      const frames = await client.subscribe({ streamName: "rooms", groupId });
      await gated.joins.until("the gate", (all) => all.some(ofGroup(groupId)));
      await frames.return();
      // On a shared connection, a response to this call proves that the cancel was processed.
      await client.list({ streamName: "rooms", groupId });
      gate.resolve(answer);
      if (count === "one leave")
        await gated.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
      expect(await left(groupId)).toHaveLength(count === "one leave" ? 1 : 0);
    });

  if (!door.can.deadlines) return;
  it("has one leave when its deadline passes", async () => {
    const groupId = uniqueName("deadline");
    const frames = await follow(door, gated, groupId, 400);
    expect(await errorOf(frames)).toMatchObject({ code: "deadline_exceeded" });
    await gated.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    expect(await left(groupId)).toHaveLength(1);
  });

  it("has one leave when its deadline passes before the gate allows it", async () => {
    const groupId = uniqueName("waiting");
    const gate = promised();
    gated.decide = () => gate.promise;
    await expect(follow(door, gated, groupId, 300)).rejects.toMatchObject({
      code: "deadline_exceeded",
    });
    await gated.joins.until("the gate", (all) => all.some(ofGroup(groupId)));
    gate.resolve();
    await gated.leaves.until("the leave", (all) => all.some(ofGroup(groupId)));
    expect(await left(groupId)).toHaveLength(1);
  });
});

describe("a subscription that the service ends", () => {
  const MiB = 1024 * 1024;
  const LARGE = noise(512 * 1024);

  it.each(["library", "grpc", "connect-h1-json", "websocket"])(
    "has one leave over %s when its client read nothing for too long (G7)",
    async (name) => {
      const door = SUBSCRIPTION_DOORS.find((each) => each.name === name) ?? library;
      let skewMs = 0;
      const gated = await openGatedServer({
        store: memoryStore({ history: { maxBytes: 64 * MiB } }),
        subscriberQueue: { maxFrames: 10, maxBytes: 64 * 1024 },
        heartbeatIntervalMs: 50,
        now: () => performance.now() + skewMs,
      });
      const proxy = await openProxy(gated.server.port);
      endAfter(async () => {
        await proxy.close();
        await gated.server.close();
      });
      await follow(door, { ...gated, url: proxy.url }, "slow");
      proxy.stall();
      const item = { streamName: "rooms", groupId: "slow", itemId: "a" };
      // More than the operating system buffers for a client that does not read.
      for (let n = 0; n < 24; n++) await gated.service.set({ ...item, data: LARGE });
      // Repeated: the operating system may buffer more after the first time.
      const hurry = setInterval(() => (skewMs += 61_000), 50);
      await gated.leaves.count(1);
      clearInterval(hurry);
      expect(await gated.leavesSoFar()).toEqual(gated.joins.all);
      expect(gated.joins.all).toHaveLength(1);
    },
  );

  it.each(SUBSCRIPTION_DOORS)(
    "has one leave over $name when its store can no longer confirm it (G5)",
    async (door) => {
      const store = observeStore(memoryStore());
      const gated = await openGatedServer({ store, heartbeatIntervalMs: 50 });
      endAfter(() => gated.server.close());
      const frames = await follow(door, gated, "unconfirmed");
      const restore = store.fail("heads", new Error("gone"));
      expect(await errorOf(frames)).toMatchObject({ reason: "STORE_UNAVAILABLE" });
      await gated.leaves.count(1);
      restore();
      expect(await gated.leavesSoFar()).toEqual(gated.joins.all);
    },
  );
});

describe("a socket", () => {
  const MORE = { streamName: "rooms", groupId: "more" };
  let gated: GatedServer;
  beforeAll(async () => {
    gated = await openGatedServer({
      bridge: { maxSubscriptions: 3, pingIntervalMs: 100, maxFrameBytes: 1000 },
    });
  });
  afterAll(async () => gated?.server.close());

  it.each([
    ["is closed", 1005, ({ socket }) => socket.close()],
    ["is cut", 1006, ({ socket }) => socket.terminate()],
    ["sends no pongs", 4408, ({ socket }) => void (socket.pong = () => {})],
    ["sends a frame that is too large", 1009, ({ socket }) => socket.send("x".repeat(2000))],
    ["joins too many subscriptions", 4429, (line) => line.join({ ...MORE, subscriptionId: "s4" })],
    [
      "sends malformed frames",
      4400,
      ({ socket }) => {
        for (let n = 0; n < 10; n++) socket.send("?");
      },
    ],
  ] satisfies [string, number, (line: Awaited<ReturnType<typeof connect>>) => void][])(
    "has one leave for each subscription when it %s",
    async (_, code, end) => {
      const stem = uniqueName("socket");
      const isOurs = ({ group_id: groupId }: JoinPayload) => groupId.startsWith(stem);
      const line = await connect(gated.url, `/stream/rooms/${stem}`);
      await line.count(1);
      line.join({ ...MORE, groupId: stem, id: "a", subscriptionId: "s1" });
      line.join({ ...MORE, groupId: `${stem}-b`, subscriptionId: "s2" });
      await line.count(3);
      end(line);
      expect(await line.closed).toBe(code);
      await gated.leaves.until("three leaves", (all) => all.filter(isOurs).length >= 3);
      const received = (await gated.leavesSoFar()).filter(isOurs);
      const byId = (a: JoinPayload, b: JoinPayload) =>
        a.subscription_id < b.subscription_id ? -1 : 1;
      expect(received.toSorted(byId)).toEqual(gated.joins.all.filter(isOurs).toSorted(byId));
    },
  );
});

describe("leave handlers", () => {
  const group = { streamName: "rooms", groupId: "g" };
  let gated: GatedServer;
  beforeEach(async () => {
    gated = await openGatedServer();
  });
  afterEach(() => gated.server.close());

  it("are called after the join listeners finish", async () => {
    const listener = promised();
    const order = newCalls<string>();
    await gated.service.registerFunction("listener", async () => {
      order.record("join begins");
      await listener.promise;
      order.record("join ends");
    });
    await gated.service.registerFunction("last", () => order.record("leave"));
    await gated.service.registerTrigger({
      type: "stream:join",
      function_id: "listener",
      config: { gate: false },
    });
    await gated.service.registerTrigger({ type: "stream:leave", function_id: "last" });
    await visit(gated.service, group);
    await order.count(1);
    expect(gated.leaves.all).toEqual([]);
    listener.resolve();
    expect(await order.count(3)).toEqual(["join begins", "join ends", "leave"]);
    expect(await gated.leaves.count(1)).toHaveLength(1);
  });

  it("registered after a subscription opened receive its leave, too", async () => {
    const frames = await gated.service.subscribe(group);
    const late = newCalls<JoinPayload>();
    await gated.service.registerFunction("late", late.record);
    const metadata = { why: "to tidy up" };
    await gated.service.registerTrigger({ type: "stream:leave", function_id: "late", metadata });
    await frames.return?.();
    await gated.leaves.count(1);
    expect(await late.count(1)).toEqual(gated.joins.all);
  });

  it("are called once each, with the metadata of their trigger; a failing one delays no others", async () => {
    const received = newCalls<string>();
    for (const name of ["one", "two"]) {
      await gated.service.registerFunction(name, (_, { metadata }) => {
        received.record(`${name} ${JSON.stringify(metadata)}`);
        throw new Error("no");
      });
      const trigger = { type: "stream:leave", function_id: name, metadata: { of: name } };
      await gated.service.registerTrigger(trigger);
    }
    await visit(gated.service, group);
    await visit(gated.service, group);
    await received.count(4);
    await gated.leaves.count(2);
    await gated.leavesSoFar();
    // The barrier of leavesSoFar causes the last two.
    await received.count(6);
    expect(received.all.toSorted()).toEqual([
      ...Array(3).fill('one {"of":"one"}'),
      ...Array(3).fill('two {"of":"two"}'),
    ]);
  });

  it("are not called when their condition returns false", async () => {
    const received = newCalls<JoinPayload>();
    await gated.service.registerFunction("some", received.record);
    await gated.service.registerFunction("is some", ({ id }: JoinPayload) => id === "this");
    const config = { condition_function_id: "is some" };
    await gated.service.registerTrigger({ type: "stream:leave", function_id: "some", config });
    for (const itemId of ["that", "this", "another"])
      await visit(gated.service, { ...group, itemId });
    await visit(gated.service, { ...group, itemId: "this" });
    expect(await received.count(2)).toMatchObject([{ id: "this" }, { id: "this" }]);
    expect(await gated.leaves.count(4)).toHaveLength(4);
    expect(received.all).toHaveLength(2);
  });

  it("without a provider are called when they have one again", async () => {
    const received = newCalls<JoinPayload>();
    const first = await gated.service.registerFunction("restarted", received.record);
    await gated.service.registerTrigger({ type: "stream:leave", function_id: "restarted" });
    await first.unregister();
    await visit(gated.service, group);
    await gated.leaves.count(1);
    expect(received.all).toEqual([]);
    await gated.service.registerFunction("restarted", received.record);
    expect(await received.count(1)).toEqual(gated.joins.all);
  });
});
