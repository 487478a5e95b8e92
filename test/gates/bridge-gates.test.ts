import { once } from "node:events";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Line, connect, story } from "../bridge/line.ts";
import { promised } from "../support/gates/calls.ts";
import { openGatedServer } from "../support/gates/gated-server.ts";
import type { GatedServer, JoinPayload } from "../support/gates/gated-server.ts";

const STREAM = "rooms";
/** A custom stream that can be read `readsLeft` times. */
const FRAGILE = "fragile";

let gated: GatedServer;
let group = { streamName: STREAM, groupId: "" };
let groups = 0;
let readsLeft = Infinity;

beforeAll(async () => {
  gated = await openGatedServer({
    gateTimeoutMs: 5000,
    bridge: { maxSyncBytes: 10_000 },
    async setup(service) {
      await service.createStream(FRAGILE, {
        list() {
          if (readsLeft-- <= 0) throw new Error("unavailable");
          return [];
        },
      });
    },
  });
});
afterAll(async () => gated?.server.close());
beforeEach(() => {
  group = { streamName: STREAM, groupId: `g${++groups}` };
  readsLeft = Infinity;
  gated.decide = () => undefined;
});

const set = async (itemId: string, n: number, where = group) =>
  gated.service.set({ ...where, itemId, data: { id: itemId, n } });

/** Ids of the joins in this test's groups that the gate was called for. */
const gateCalls = () => gated.joins.all.filter(isOurs).map(({ subscription_id: id }) => id);
/** Ids of the leaves in this test's groups that were delivered so far. */
const left = async () => (await gated.leavesSoFar()).filter(isOurs).map(idOf);
const idOf = ({ subscription_id: id }: JoinPayload) => id;
const isOurs = ({ group_id: groupId }: JoinPayload) => groupId.startsWith(group.groupId);

/** Resolves when `count` of this test's subscriptions have left. */
const leaves = async (count: number) => {
  const isEnough = (all: readonly JoinPayload[]) => all.filter(isOurs).length >= count;
  return (await gated.leaves.until(`${count} leaves of ${group.groupId}`, isEnough)).filter(isOurs);
};

/** Resolves when the service has read everything the socket sent. */
const processed = async ({ socket }: Line) => {
  const ponged = once(socket, "pong");
  socket.ping();
  await ponged;
};

/** Expects the socket to receive a new change of the group. */
const expectLive = async (line: Line, where = group) => {
  const n = ++groups;
  await set("proof", n, where);
  await line.until(`change ${n}`, (all) =>
    all.some(({ event }) => JSON.stringify(event.data) === JSON.stringify({ id: "proof", n })),
  );
};

describe("a join that a gate refuses", () => {
  it("receives an error with its names and its id and no frames, and the socket stays open (G8)", async () => {
    gated.decide = ({ id }) => ({ unauthorized: id === "secret" });
    const line = await connect(gated.url, "/");
    line.join({ ...group, subscriptionId: "s1", id: "secret" });
    await line.count(1);
    await set("secret", 1);
    line.join({ ...group, subscriptionId: "s2", id: "open" });
    const frames = await line.count(2);
    expect(frames[0]).toEqual({
      type: "stream",
      timestamp: 0,
      ...group,
      id: "secret",
      subscriptionId: "s1",
      event: { type: "unauthorized" },
    });
    expect(frames[1]).toMatchObject({ id: "open", subscriptionId: "s2", event: { type: "sync" } });
    await set("secret", 2);
    await set("open", 2);
    expect(story(await line.count(3))).toEqual(["unauthorized secret", "sync open", "create open"]);
    line.socket.close();
    await leaves(1);
    expect(await left()).toEqual(["s2"]);
  });

  it("by URL receives an error too; the same join sent again calls the gate again (G8)", async () => {
    gated.decide = () => ({ unauthorized: true });
    const line = await connect(gated.url, `/stream/${STREAM}/${group.groupId}/a`);
    const [refusal] = await line.count(1);
    const { subscriptionId: id = "" } = refusal ?? {};
    expect(refusal).toMatchObject({ ...group, id: "a", event: { type: "unauthorized" } });
    expect(id).not.toBe("");
    line.join({ ...group, subscriptionId: "mine", id: "a" });
    expect((await line.count(2))[1]).toMatchObject({
      subscriptionId: "mine",
      event: { type: "unauthorized" },
    });
    gated.decide = () => undefined;
    line.join({ ...group, subscriptionId: "mine", id: "a" });
    expect((await line.count(3))[2]).toMatchObject({ event: { type: "sync" } });
    expect(gateCalls()).toEqual([id, "mine", "mine"]);
    line.leave("mine");
    await leaves(1);
    expect(await left()).toEqual(["mine"]);
  });

  it("leaves the subscription of the same id in place, without a leave (G8)", async () => {
    const line = await connect(gated.url, "/");
    line.join({ ...group, subscriptionId: "s1" });
    await line.count(1);
    const other = `${group.groupId}-other`;
    gated.decide = () => ({ unauthorized: true });
    line.join({ ...group, groupId: other, subscriptionId: "s1" });
    expect((await line.count(2))[1]).toMatchObject({
      groupId: other,
      event: { type: "unauthorized" },
    });
    await expectLive(line);
    expect(await left()).toEqual([]);
    line.leave("s1");
    expect(await leaves(1)).toMatchObject([{ group_id: group.groupId }]);
    expect(await left()).toEqual(["s1"]);
  });

  it("is replaced by an allowed join of the same id: one leave for each of the two", async () => {
    const line = await connect(gated.url, "/");
    line.join({ ...group, subscriptionId: "s1", id: "old" });
    await line.count(1);
    line.join({ ...group, subscriptionId: "s1", id: "new" });
    line.join({ ...group, subscriptionId: "s1", id: "new" });
    await line.count(3);
    expect(await leaves(2)).toMatchObject([{ id: "old" }, { id: "new" }]);
    expect(await left()).toHaveLength(2);
    line.socket.close();
    expect((await leaves(3))[2]).toMatchObject({ subscription_id: "s1", id: "new" });
    expect(await left()).toHaveLength(3);
    expect(gateCalls()).toEqual(["s1", "s1", "s1"]);
  });

  it("does not reach the gate when its names are invalid", async () => {
    const line = await connect(gated.url, "/");
    const before = gated.joins.all.length;
    line.join({ ...group, groupId: "", subscriptionId: "s1" });
    line.join({ ...group, streamName: "\u0001", subscriptionId: "s2" });
    line.join({ ...group, id: "\u0001", subscriptionId: "s3" });
    const frames = await line.count(3);
    expect(frames.map(({ event }) => event.reason)).toEqual(Array(3).fill("NAME_INVALID"));
    expect(gated.joins.all.length).toBe(before);
    expect(await left()).toEqual([]);
  });
});

describe("a slow gate", () => {
  it("delays only its own subscription, not others of the socket, the group or other sockets (G7)", async () => {
    const gate = promised();
    gated.decide = ({ id }) => (id === "slow" ? gate.promise : undefined);
    const [line, other] = [await connect(gated.url, "/"), await connect(gated.url, "/")];
    line.join({ ...group, subscriptionId: "slow", id: "slow" });
    line.join({ ...group, subscriptionId: "quick" });
    line.join({ ...group, groupId: `${group.groupId}-b`, subscriptionId: "beside" });
    other.join({ ...group, subscriptionId: "elsewhere" });
    const ids = (await line.count(2)).map(({ subscriptionId }) => subscriptionId);
    expect(new Set(ids)).toEqual(new Set(["quick", "beside"]));
    await other.count(1);
    for (const each of [line, other]) await expectLive(each);
    line.leave("beside");
    await leaves(1);
    expect(story(line.frames)).toEqual(["sync", "sync", "create proof", "update proof"]);
    gate.resolve();
    expect((await line.count(5))[4]).toMatchObject({
      subscriptionId: "slow",
      event: { type: "sync" },
    });
    expect(await left()).toEqual(["beside"]);
  });

  it.each([
    ["allows", undefined, ["s1"]],
    ["refuses", { unauthorized: true }, []],
  ])(
    "that %s a join after its leave leads to as many leaves as joins",
    async (_, answer, received) => {
      const gate = promised<unknown>();
      gated.decide = () => gate.promise;
      const line = await connect(gated.url, "/");
      line.join({ ...group, subscriptionId: "s1" });
      await gated.joins.until("the gate", () => gateCalls().length === 1);
      line.leave("s1");
      line.join({ ...group, groupId: `${group.groupId}-b`, subscriptionId: "s1" });
      await processed(line);
      gate.resolve(answer);
      // Its sync proves that the earlier requests have been processed.
      await line.until("the second", (all) =>
        all.some(({ groupId, event }) => groupId !== group.groupId && event.type !== "error"),
      );
      expect(await left()).toEqual(received);
    },
  );

  it.each([
    ["allows", undefined, ["s1"]],
    ["refuses", { unauthorized: true }, []],
  ])(
    "that %s a client after it disconnected leads to as many leaves as joins",
    async (_, answer, received) => {
      const gate = promised<unknown>();
      gated.decide = () => gate.promise;
      const line = await connect(gated.url, "/");
      line.join({ ...group, subscriptionId: "s1" });
      await gated.joins.until("the gate", () => gateCalls().length === 1);
      line.socket.close();
      await line.closed;
      gate.resolve(answer);
      if (received.length > 0) await leaves(received.length);
      expect(await left()).toEqual(received);
      expect(line.frames).toEqual([]);
    },
  );
});

describe("a join whose snapshot fails after the gates allowed it", () => {
  it("has a leave", async () => {
    readsLeft = 0;
    const line = await connect(gated.url, "/");
    line.join({ streamName: FRAGILE, groupId: group.groupId, subscriptionId: "s1" });
    const [error] = await line.count(1);
    expect(error?.event).toMatchObject({ type: "error", reason: "STORE_UNAVAILABLE" });
    expect(await leaves(1)).toMatchObject([{ subscription_id: "s1", stream_name: FRAGILE }]);
    expect(await left()).toEqual(["s1"]);
  });

  it("has a leave when the snapshot does not fit into one frame", async () => {
    await gated.service.set({ ...group, itemId: "large", data: "x".repeat(20_000) });
    const line = await connect(gated.url, "/");
    line.join({ ...group, subscriptionId: "s1" });
    const [error] = await line.count(1);
    expect(error?.event).toMatchObject({ type: "error", reason: "SNAPSHOT_TOO_LARGE" });
    expect(await leaves(1)).toMatchObject([{ subscription_id: "s1", id: null }]);
    line.socket.close();
    await line.closed;
    expect(await left()).toEqual(["s1"]);
  });

  it("keeps the subscription that it would replace: one join, one leave", async () => {
    const line = await connect(gated.url, "/");
    line.join({ ...group, subscriptionId: "s1" });
    await line.count(1);
    readsLeft = 0;
    const fragile = { streamName: FRAGILE, groupId: group.groupId };
    // Without the extension, the service would close the socket instead.
    line.join({ ...fragile, subscriptionId: "s1", parts: true });
    await line.count(2);
    expect(await leaves(1)).toMatchObject([{ stream_name: FRAGILE }]);
    await expectLive(line);
    line.socket.close();
    expect(await leaves(2)).toMatchObject([{ stream_name: FRAGILE }, { stream_name: STREAM }]);
    expect(await left()).toHaveLength(2);
  });
});

describe("an explicit join of the URL's subscription", () => {
  const path = () => `/stream/${STREAM}/${group.groupId}`;

  /** A socket with the group in its URL, and the id of that subscription. */
  const byUrl = async (): Promise<{ line: Line; id: string }> => {
    const line = await connect(gated.url, path());
    const [sync] = await line.count(1);
    expect(sync?.event.type).toBe("sync");
    return { line, id: sync?.subscriptionId ?? "" };
  };

  it.each([
    ["", null],
    ["/a", "a"],
  ])(
    "(%o after the group) takes it over: the gate is not called again, and one leave with the URL's id follows its end",
    async (rest, item) => {
      const line = await connect(gated.url, path() + rest);
      const id = (await line.count(1))[0]?.subscriptionId ?? "";
      line.join({ ...group, subscriptionId: "mine", id: item });
      expect((await line.count(2))[1]).toMatchObject({ subscriptionId: "mine" });
      expect(gateCalls()).toEqual([id]);
      expect(await left()).toEqual([]);
      line.leave("mine");
      expect(await leaves(1)).toEqual(gated.joins.all.filter(isOurs));
      line.socket.close();
      await line.closed;
      expect(await left()).toEqual([id]);
    },
  );

  it("waits for the URL's gate while that is running, and shares its decision", async () => {
    const gate = promised();
    gated.decide = () => gate.promise;
    const line = await connect(gated.url, path());
    line.join({ ...group, subscriptionId: "mine" });
    await processed(line);
    gate.resolve();
    await line.until("the join", (all) =>
      all.some(({ subscriptionId }) => subscriptionId === "mine"),
    );
    expect(gateCalls()).toHaveLength(1);
    line.socket.terminate();
    await leaves(1);
    expect(await left()).toEqual(gateCalls());
  });

  it("that comes second calls the gate, and has its own leave", async () => {
    const { line, id } = await byUrl();
    line.join({ ...group, subscriptionId: "mine" });
    line.join({ ...group, subscriptionId: "second" });
    await line.count(3);
    expect(gateCalls()).toEqual([id, "second"]);
    line.leave("second");
    await leaves(1);
    line.leave("mine");
    await leaves(2);
    expect(await left()).toEqual(["second", id]);
  });

  it("may have the URL's own id", async () => {
    const { line, id } = await byUrl();
    line.join({ ...group, subscriptionId: id });
    await line.count(2);
    await expectLive(line);
    expect(gateCalls()).toEqual([id]);
    expect(await left()).toEqual([]);
    line.leave(id);
    await leaves(1);
    expect(await left()).toEqual([id]);
  });

  it("does not bypass the gate for a refused client that gave the URL's id to another join (G8)", async () => {
    gated.decide = ({ group_id: groupId }) => ({ unauthorized: groupId === group.groupId });
    const line = await connect(gated.url, path());
    const id = (await line.count(1))[0]?.subscriptionId ?? "";
    line.join({ ...group, groupId: `${group.groupId}-open`, subscriptionId: id });
    await line.count(2);
    line.join({ ...group, subscriptionId: "mine" });
    const events = (await line.count(3)).map(({ event }) => event.type);
    expect(events).toEqual(["unauthorized", "sync", "unauthorized"]);
    expect(gateCalls()).toEqual([id, id, "mine"]);
  });

  it("continues when the URL's id is left at once", async () => {
    const { line, id } = await byUrl();
    line.join({ ...group, subscriptionId: "mine" });
    line.leave(id);
    await line.count(2);
    await expectLive(line);
    expect(await left()).toEqual([]);
    line.leave("mine");
    await leaves(1);
    expect(await left()).toEqual([id]);
  });

  it("continues when the URL's id is given to another join at once", async () => {
    const { line, id } = await byUrl();
    line.join({ ...group, subscriptionId: "mine" });
    line.join({ ...group, groupId: `${group.groupId}-b`, subscriptionId: id });
    await line.count(3);
    await expectLive(line);
    expect(await left()).toEqual([]);
    line.socket.close();
    expect((await leaves(2)).map(({ group_id: groupId }) => groupId).toSorted()).toEqual([
      group.groupId,
      `${group.groupId}-b`,
    ]);
    expect(await left()).toEqual([id, id]);
  });

  it("whose snapshot fails keeps the URL's subscription, which can be taken over later", async () => {
    const fragile = { streamName: FRAGILE, groupId: group.groupId };
    const line = await connect(gated.url, `/stream/${FRAGILE}/${group.groupId}`);
    const id = (await line.count(1))[0]?.subscriptionId ?? "";
    readsLeft = 0;
    line.join({ ...fragile, subscriptionId: "mine", parts: true });
    expect((await line.count(2))[1]?.event).toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(await left()).toEqual([]);
    readsLeft = Infinity;
    line.join({ ...fragile, subscriptionId: "mine" });
    await line.count(3);
    expect(gateCalls()).toEqual([id]);
    line.socket.close();
    await leaves(1);
    expect(await left()).toEqual([id]);
  });
});
