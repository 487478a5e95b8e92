import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Server, createServer } from "millrace/server";
import { type Frame, type Line, connect, story } from "./line.ts";

const NEW_GROUP = { streamName: "rooms", groupId: "" };

describe("subscriptions of a socket", () => {
  let server: Server;
  /** A group that only the current test uses. */
  let group = NEW_GROUP;
  let groups = 0;

  beforeAll(async () => {
    server = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      heartbeatIntervalMs: 50,
    });
  });
  afterAll(async () => server?.close());
  beforeEach(() => {
    group = { ...NEW_GROUP, groupId: `g${++groups}` };
  });

  const set = async (itemId: string, n: number, where = group) =>
    server.service.set({ ...where, itemId, data: { id: itemId, n } });

  /**
   * The frames that the socket received before a new event of the group. The socket must follow the
   * whole group already: a later join never receives the event.
   */
  const upToMark = async (line: Line, where = group): Promise<readonly Frame[]> => {
    const isMark = ({ event, groupId }: Frame) =>
      groupId === where.groupId && event.event?.type === "mark";
    await server.service.send({ ...where, type: "mark", data: null });
    const frames = await line.until("the mark", (all) => all.some(isMark));
    return frames.slice(0, frames.findIndex(isMark));
  };

  it.each([
    ["text", (text: string) => text],
    ["binary", (text: string) => Buffer.from(text)],
  ])("begin with a join in a %s frame", async (_, encode) => {
    await set("é", 1);
    const line = await connect(server.url, "/");
    const data = { ...group, subscriptionId: "s1", id: "é", unknown: { field: true } };
    line.socket.send(encode(JSON.stringify({ type: "join", data, more: 1 })));
    expect((await line.count(1))[0]).toMatchObject({
      ...group,
      id: "é",
      subscriptionId: "s1",
      event: { type: "sync", data: { id: "é", n: 1 }, ids: ["é"] },
    });
  });

  it.each([
    ["absent", {}],
    ["null", { id: null }],
    ["empty", { id: "" }],
  ])("follow the whole group when the id is %s", async (_, id) => {
    await set("a", 1);
    const line = await connect(server.url, "/");
    line.join({ ...group, ...id, subscriptionId: "s1" });
    const [sync] = await line.count(1);
    expect(sync).toMatchObject({
      id: null,
      event: { type: "sync", data: [{ id: "a", n: 1 }], ids: ["a"] },
    });
  });

  it("get one frame per event when they overlap (G3)", async () => {
    await set("a", 1);
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "all" });
    line.join({ ...group, subscriptionId: "one", id: "a" });
    line.join({ ...group, subscriptionId: "again" });
    const syncs = await line.count(3);
    expect(new Set(syncs.map(({ subscriptionId }) => subscriptionId))).toEqual(
      new Set(["all", "one", "again"]),
    );
    await set("a", 2);
    await set("b", 1);
    await server.service.send({ ...group, type: "ring", data: 1, itemId: "a" });
    await server.service.send({ ...group, type: "ring", data: 2 });
    await server.service.delete({ ...group, itemId: "a" });
    const frames = (await upToMark(line)).slice(3);
    expect(story(frames)).toEqual(["update a", "create b", "event a", "event", "delete a"]);
    expect(frames.map(({ subscriptionId }) => subscriptionId)).toEqual(Array(5).fill(undefined));
    expect(frames.map(({ event }) => event.data ?? event.event)).toEqual([
      { id: "a", n: 2 },
      { id: "b", n: 1 },
      { type: "ring", data: 1 },
      { type: "ring", data: 2 },
      { id: "a", n: 2 },
    ]);
  });

  it("of an item receive its changes and the events that name it, and nothing else", async () => {
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "one", id: "a" });
    await line.count(1);
    await set("b", 1);
    await server.service.send({ ...group, type: "ring", data: 1 });
    await server.service.send({ ...group, type: "ring", data: 2, itemId: "b" });
    await set("a", 1);
    await server.service.send({ ...group, type: "ring", data: 3, itemId: "a" });
    expect(story(await line.count(3))).toEqual(["sync a", "create a", "event a"]);
  });

  it.each(["", "/a"])(
    "of the URL (%o after the group) are replaced by a join of the same target",
    async (rest) => {
      await set("a", 1);
      const line = await connect(server.url, `/stream/${group.streamName}/${group.groupId}${rest}`);
      const [first] = await line.count(1);
      const id = rest === "" ? null : "a";
      line.join({ ...group, subscriptionId: "mine", id });
      const [, fresh] = await line.count(2);
      expect(first?.subscriptionId).not.toBe("mine");
      expect(fresh).toEqual({ ...first, subscriptionId: "mine" });
      await set("a", 2);
      expect(story(await line.count(3)).at(-1)).toBe("update a");
      // One subscription is left, so after its leave the group has no follower until the next join.
      line.leave("mine");
      line.join({ ...group, groupId: "elsewhere", subscriptionId: "other" });
      await line.count(4);
      await set("a", 3);
      line.join({ ...group, subscriptionId: "late" });
      await line.count(5);
      await set("a", 4);
      const frames = await upToMark(line);
      expect(story(frames).slice(2)).toEqual(["update a", "sync", "sync", "update a"]);
      expect(frames.map(({ subscriptionId }) => subscriptionId).slice(3)).toEqual([
        "other",
        "late",
        undefined,
      ]);
    },
  );

  it("of the URL stay open beside a join of another target", async () => {
    await set("a", 1);
    const line = await connect(server.url, `/stream/${group.streamName}/${group.groupId}`);
    await line.count(1);
    line.join({ ...group, subscriptionId: "one", id: "a" });
    await line.count(2);
    line.leave("one");
    await set("b", 1);
    expect(story(await upToMark(line))).toEqual(["sync", "sync a", "create b"]);
  });

  it("are replaced by a join of the same id", async () => {
    const other = { ...group, groupId: `${group.groupId}-other` };
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "s1" });
    await line.count(1);
    line.join({ ...other, subscriptionId: "s1" });
    await line.count(2);
    await set("a", 1);
    await set("a", 1, other);
    const frames = await upToMark(line, other);
    expect(frames.map(({ groupId, event }) => [groupId, event.type])).toEqual([
      [group.groupId, "sync"],
      [other.groupId, "sync"],
      [other.groupId, "create"],
    ]);
  });

  it("continue when the join that would replace them is refused", async () => {
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "s1" });
    await line.count(1);
    line.join({ ...group, streamName: "", subscriptionId: "s1" });
    const [, refusal] = await line.count(2);
    expect(refusal).toMatchObject({
      timestamp: 0,
      subscriptionId: "s1",
      event: { type: "error", code: "invalid_argument", message: expect.any(String) as string },
    });
    await set("a", 1);
    expect(story(await upToMark(line))).toEqual(["sync", "error", "create a"]);
  });

  it("end with a leave, each on its own; a leave of an unknown id does nothing", async () => {
    await set("a", 1);
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "all" });
    line.join({ ...group, subscriptionId: "one", id: "a" });
    await line.count(2);
    line.leave("unknown");
    line.leave("all");
    // Its sync proves that the leaves before it are done.
    line.join({ ...group, groupId: "elsewhere", subscriptionId: "other" });
    await line.count(3);
    await set("b", 1);
    await set("a", 2);
    const frames = await line.count(4);
    expect(story(frames).at(-1)).toBe("update a");
  });

  it("resume from the given position, with the changes that were missed (G4)", async () => {
    await set("a", 1);
    const before = await connect(server.url, "/");
    before.join({ ...group, subscriptionId: "s1" });
    const { epoch, revision } = (await before.count(1))[0] ?? {};
    before.socket.terminate();
    await set("a", 2);
    await set("b", 1);
    await server.service.delete({ ...group, itemId: "a" });
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "s2", resume: { epoch, revision } });
    await line.count(1);
    const frames = await upToMark(line);
    expect(story(frames)).toEqual(["resumed", "update a", "create b", "delete a"]);
    expect(frames.map((frame) => frame.revision)).toEqual([1, 2, 3, 4]);
    expect(frames[0]).toMatchObject({
      timestamp: 0,
      subscriptionId: "s2",
      event: { type: "resumed", head: { epoch, revision: 4 } },
    });
  });

  it("get a sync when the given position is not in this group's history (G4)", async () => {
    await set("a", 1);
    const line = await connect(server.url, "/");
    const resume = { epoch: "another", revision: 1 };
    line.join({ ...group, subscriptionId: "s1", resume });
    await line.count(1);
    const frames = await upToMark(line);
    expect(story(frames)).toEqual(["sync"]);
    expect(frames[0]).toMatchObject({ revision: 1, subscriptionId: "s1" });
  });

  it("get a sync instead of a resume when the socket already follows the group", async () => {
    await set("a", 1);
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "s1" });
    const { epoch, revision } = (await line.count(1))[0] ?? {};
    await set("a", 2);
    await line.count(2);
    line.join({ ...group, subscriptionId: "s2", resume: { epoch, revision } });
    await line.count(3);
    const frames = await upToMark(line);
    expect(story(frames)).toEqual(["sync", "update a", "sync"]);
    expect(frames[2]).toMatchObject({ subscriptionId: "s2", revision: 2 });
  });

  it("receive heartbeats only on request (G5)", async () => {
    await set("a", 1);
    const [plain, extended] = [await connect(server.url, "/"), await connect(server.url, "/")];
    plain.join({ ...group, subscriptionId: "s1" });
    plain.join({ ...group, subscriptionId: "s2", id: "a" });
    await plain.count(2);
    extended.join({ ...group, subscriptionId: "without" });
    extended.join({ ...group, subscriptionId: "with", heartbeat: true });
    const isHeartbeat = ({ event }: Frame) => event.type === "heartbeat";
    const received = await extended.until(
      "three heartbeats",
      (all) => all.filter(isHeartbeat).length >= 3,
    );
    for (const heartbeat of received.filter(isHeartbeat)) {
      expect(heartbeat).toMatchObject({
        ...group,
        id: null,
        timestamp: 0,
        revision: 1,
        subscriptionId: "with",
      });
    }
    await set("a", 2);
    await set("b", 1);
    await server.service.delete({ ...group, itemId: "b" });
    // A client without extensions gets these types and no others.
    expect(story(await upToMark(plain)).slice(2)).toEqual(["update a", "create b", "delete b"]);
    expect(story(plain.frames).slice(0, 2).toSorted()).toEqual(["sync", "sync a"]);
  });

  it("receive a large snapshot in parts only on request", async () => {
    const ids = Array.from({ length: 1500 }, (_, at) => `i${at}`);
    for (const some of [ids.slice(0, 1000), ids.slice(1000)]) {
      const mutations = some.map((itemId) => ({ set: { itemId, data: { id: itemId } } }));
      await server.service.batch({ ...group, mutations });
    }
    const whole = await connect(server.url, "/");
    whole.join({ ...group, subscriptionId: "whole" });
    await whole.count(1);
    const frames = await upToMark(whole);
    expect(story(frames)).toEqual(["sync"]);
    expect(Object.keys(frames[0]?.event ?? {}).toSorted()).toEqual(["data", "ids", "type"]);
    expect(frames[0]?.event).toMatchObject({ ids, data: ids.map((id) => ({ id })) });

    const parted = await connect(server.url, "/");
    parted.join({ ...group, subscriptionId: "parted", parts: true });
    await parted.count(1);
    const parts = await upToMark(parted);
    expect(parts.length).toBeGreaterThan(1);
    expect(new Set(story(parts))).toEqual(new Set(["sync"]));
    expect(parts.flatMap(({ event }) => event.ids)).toEqual(ids);
    expect(parts.flatMap(({ event }) => event.data)).toEqual(ids.map((id) => ({ id })));
    expect(parts.map(({ event }) => event.first)).toEqual(parts.map((_, at) => at === 0));
    expect(parts.map(({ event }) => event.last)).toEqual(
      parts.map((_, at) => at === parts.length - 1),
    );
    expect(new Set(parts.map(({ revision }) => revision))).toEqual(new Set([1500]));
  });

  it("receive timestamps that grow, and a sync whose timestamp is never ahead of them", async () => {
    const sync = async () => {
      const line = await connect(server.url, "/");
      line.join({ ...group, subscriptionId: "s1" });
      return (await line.count(1))[0]?.timestamp;
    };
    // An unknown group has the current time, for clients that knew an earlier epoch of it.
    const beganMs = Date.now();
    expect(await sync()).toBeGreaterThanOrEqual(beganMs - 1);
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "s1" });
    const [first] = await line.count(1);
    await set("a", 1);
    const [, create] = await line.count(2);
    expect(create?.timestamp).toBeGreaterThan(first?.timestamp ?? Infinity);
    expect(await sync()).toBe(create?.timestamp);
    await server.service.send({ ...group, type: "ring", data: 1 });
    const [, , event] = await line.count(3);
    expect(await sync()).toBe(event?.timestamp);
    for (let n = 2; n < 50; n++) void set("a", n);
    const times = (await line.count(51)).map(({ timestamp }) => timestamp);
    expect(times).toEqual([...new Set(times)].toSorted((a, b) => a - b));
  });
});
