import { type Server, createServer } from "millrace/server";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Frame, type JoinData, type Line, connect, story } from "./line.ts";

describe("snapshots of a socket", () => {
  let server: Server;
  /** A group that only the current test uses. */
  let group = { streamName: "rooms", groupId: "" };
  let groups = 0;

  beforeAll(async () => {
    server = await createServer({ port: 0, store: { kind: "in_memory" } });
  });
  afterAll(async () => server?.close());
  beforeEach(() => {
    group = { ...group, groupId: `g${++groups}` };
  });

  const set = (itemId: string, data: number) => server.service.set({ ...group, itemId, data });
  const fill = async (count: number) => {
    for (let i = 0; i < count; i++) await set(`i${i}`, i);
  };
  const open = async (...joins: readonly Omit<JoinData, keyof typeof group>[]): Promise<Line> => {
    const line = await connect(server.url, "/");
    for (const join of joins) line.join({ ...group, ...join });
    await line.count(joins.length);
    return line;
  };
  const syncOf = ({ frames }: Line, subscriptionId: string) =>
    frames.find((frame) => frame.subscriptionId === subscriptionId)?.event ?? { type: "none" };
  const idsOf = ({ items = [], ids = items.map(({ id }) => id) }: Frame["event"]) => ids;

  it("have items with their revisions and times in place of values and ids, on request", async () => {
    await fill(1);
    const { position } = await set("é", 5);
    await set("i0", 7);
    const [older, newer] = (await server.service.list(group)).items;
    const line = await open(
      { subscriptionId: "items", items: true },
      { subscriptionId: "values" },
      { subscriptionId: "item", items: true, id: "é" },
      { subscriptionId: "none", items: true, id: "none" },
    );
    const itemOf = (item = newer) => ({
      ...{ id: item?.itemId, data: item?.data, revision: item?.revision },
      createTime: item?.createTime.getTime(),
      updateTime: item?.updateTime.getTime(),
    });
    expect(syncOf(line, "items")).toEqual({ type: "sync", items: [itemOf(older), itemOf(newer)] });
    expect(syncOf(line, "values")).toEqual({ type: "sync", data: [7, 5], ids: ["i0", "é"] });
    expect(syncOf(line, "item")).toEqual({ type: "sync", items: [itemOf(newer)] });
    expect(syncOf(line, "none")).toEqual({ type: "sync", items: [] });
    expect(newer?.revision).toBe(position.revision);
  });

  it("have the newest items of a window, and the token of a listing of the older ones", async () => {
    await fill(5);
    const line = await open({ subscriptionId: "s", window: 2 });
    const { truncated, olderPageToken: pageToken = "", ...sync } = syncOf(line, "s");
    expect(sync).toEqual({ type: "sync", data: [3, 4], ids: ["i3", "i4"] });
    expect(truncated).toBe(true);
    const page = await server.service.list({ ...group, descending: true, pageToken });
    expect(page.items.map(({ itemId }) => itemId)).toEqual(["i2", "i1", "i0"]);
    await set("i0", 10);
    expect(story(await line.count(2)).at(-1)).toBe("update i0");
  });

  it("of a window that the group fits in say that there is no more", async () => {
    await fill(2);
    const line = await open({ subscriptionId: "s", window: 2, parts: true });
    const expected = { data: [0, 1], ids: ["i0", "i1"], first: true, last: true, truncated: false };
    expect(syncOf(line, "s")).toEqual({ type: "sync", ...expected });
  });

  it("have the window of each subscription to the group", async () => {
    await fill(4);
    const line = await open(
      { subscriptionId: "one", window: 1 },
      { subscriptionId: "all" },
      { subscriptionId: "item", id: "i0" },
      { subscriptionId: "three", window: 3, items: true },
    );
    expect(idsOf(syncOf(line, "one"))).toEqual(["i3"]);
    expect(idsOf(syncOf(line, "all"))).toEqual(["i0", "i1", "i2", "i3"]);
    expect(syncOf(line, "all")).not.toHaveProperty("truncated");
    expect(idsOf(syncOf(line, "item"))).toEqual(["i0"]);
    expect(idsOf(syncOf(line, "three"))).toEqual(["i1", "i2", "i3"]);
    await set("i0", 10);
    await set("i3", 13);
    expect(story(await line.count(6)).slice(4)).toEqual(["update i0", "update i3"]);
  });

  it.each([
    ["window", 0],
    ["window", -1],
    ["window", 10_001],
    ["window", 1.5],
    ["window", "10"],
    ["window", true],
    ["items", "yes"],
    ["items", 1],
  ])("are refused with an error for a %s of %o", async (field, value) => {
    const line = await open({ subscriptionId: "s", [field]: value });
    expect(syncOf(line, "s")).toMatchObject({
      type: "error",
      code: "invalid_argument",
      reason: "REQUEST_INVALID",
      message: expect.stringMatching(
        new RegExp(`^${field} is not .*; it may be (an integer from 1 to 10000|true or false)`),
      ) as string,
    });
  });

  it("are refused with an error for a window of a single item", async () => {
    const line = await open({ subscriptionId: "s", window: 5, id: "i" });
    expect(syncOf(line, "s")).toMatchObject({
      type: "error",
      reason: "REQUEST_INVALID",
      message: "window is given with an id; it may be absent, or given for a whole group.",
    });
  });
});
