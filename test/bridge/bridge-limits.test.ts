import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type Server, createServer } from "millrace/server";
import { connect, story } from "./line.ts";

const GROUP = { streamName: "rooms", groupId: "lobby" };

describe("limits of a socket", () => {
  let server: Server;
  beforeAll(async () => {
    server = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      bridge: {
        maxSubscriptions: 3,
        maxFrameBytes: 1000,
        maxMalformedFrames: 7,
        maxFrameBurst: 50,
        maxFramesPerSecond: 1,
        maxSyncBytes: 5000,
      },
    });
  });
  afterAll(async () => server?.close());

  it("respond to malformed frames with errors, and close after too many of them with 4400", async () => {
    const line = await connect(server.url, "/");
    const frames = [
      "no json",
      "[]",
      '{"type":"subscribe","data":{}}',
      '{"type":"join"}',
      '{"type":"join","data":{"subscriptionId":"","streamName":"s","groupId":"g"}}',
      '{"type":"join","data":{"subscriptionId":"s1","streamName":1,"groupId":"g"}}',
    ];
    for (const frame of frames) line.socket.send(frame);
    const errors = [...(await line.count(frames.length))];
    for (const error of errors) {
      expect(error).toMatchObject({
        type: "stream",
        timestamp: 0,
        streamName: "",
        groupId: "",
        id: null,
        event: { type: "error", code: "invalid_argument", reason: "REQUEST_INVALID" },
      });
      expect(error.event.message).toContain("may be");
    }
    expect(errors.map(({ subscriptionId }) => subscriptionId)).toEqual([
      ...Array<undefined>(5).fill(undefined),
      "s1",
    ]);
    // It still accepts a valid frame.
    line.join({ ...GROUP, subscriptionId: "s1" });
    expect(story(await line.count(7)).at(-1)).toBe("sync");
    line.socket.send(Buffer.from([0x7b, 0xff]));
    expect(await line.closed).toBe(4400);
    expect(story(line.frames).at(-1)).toBe("error");
  });

  it("close with 4429 when there are too many subscriptions", async () => {
    const line = await connect(server.url, "/");
    for (const subscriptionId of ["s1", "s2", "s3", "s1"]) line.join({ ...GROUP, subscriptionId });
    await line.count(4);
    // A leave makes room at once.
    line.leave("s3");
    line.join({ ...GROUP, subscriptionId: "other", id: "a" });
    await line.count(5);
    line.join({ ...GROUP, subscriptionId: "s4" });
    expect(await line.closed).toBe(4429);
    expect(line.frames).toHaveLength(5);
  });

  it("count a subscription of the URL and the join that replaces it once", async () => {
    const line = await connect(server.url, "/stream/rooms/limits");
    await line.count(1);
    const target = { streamName: "rooms", groupId: "limits" };
    line.join({ ...target, subscriptionId: "s1" });
    line.join({ ...target, subscriptionId: "s2", id: "a" });
    line.join({ ...target, subscriptionId: "s3", id: "b" });
    await line.count(4);
    line.join({ ...target, subscriptionId: "s4", id: "c" });
    expect(await line.closed).toBe(4429);
  });

  it("close with 4429 when frames come too fast", async () => {
    const line = await connect(server.url, "/");
    for (let sent = 0; sent < 100; sent++) line.leave("unknown");
    expect(await line.closed).toBe(4429);
  });

  it("close with 1009 when a frame is too large", async () => {
    const line = await connect(server.url, "/");
    const padding = "x".repeat(800);
    line.socket.send(JSON.stringify({ type: "join", data: { ...GROUP, padding } }));
    await line.count(1);
    line.socket.send(
      JSON.stringify({ type: "join", data: { ...GROUP, padding: padding + padding } }),
    );
    expect(await line.closed).toBe(1009);
  });

  it("refuse a snapshot that is too large for one frame, and allow it in parts", async () => {
    const group = { streamName: "rooms", groupId: "large" };
    for (const itemId of ["a", "b"])
      await server.service.set({ ...group, itemId, data: { id: itemId, text: "x".repeat(4000) } });
    const line = await connect(server.url, "/");
    line.join({ ...group, subscriptionId: "whole" });
    const [refusal] = await line.count(1);
    expect(refusal).toMatchObject({
      timestamp: 0,
      subscriptionId: "whole",
      event: { type: "error", reason: "SNAPSHOT_TOO_LARGE" },
    });
    line.join({ ...group, subscriptionId: "parts", parts: true });
    const frames = await line.until("the last part", (all) => all.at(-1)?.event.last === true);
    expect(frames.slice(1).flatMap(({ event }) => event.ids)).toEqual(["a", "b"]);
  });
});

describe("the liveness of a client", () => {
  let server: Server;
  beforeAll(async () => {
    server = await createServer({
      port: 0,
      store: { kind: "in_memory" },
      bridge: { pingIntervalMs: 40 },
    });
  });
  afterAll(async () => server?.close());

  it("is checked with pings, and a silent client is closed with 4408", async () => {
    const line = await connect(server.url, "/", { autoPong: false });
    let pings = 0;
    line.socket.on("ping", () => pings++);
    expect(await line.closed).toBe(4408);
    expect(pings).toBe(2);
  });

  it.each([
    ["pongs", true],
    ["frames", false],
  ])("is proved by its %s", async (_, autoPong) => {
    const line = await connect(server.url, "/", { autoPong });
    let pings = 0;
    line.socket.on("ping", () => {
      pings++;
      if (!autoPong) line.leave("unknown");
      if (pings === 6) line.join({ ...GROUP, subscriptionId: "s1" });
    });
    expect(story(await line.count(1))).toEqual(["sync"]);
    expect(pings).toBeGreaterThanOrEqual(6);
  });
});

describe("a service that shuts down", () => {
  it("closes its sockets with 1001", async () => {
    const server = await createServer({ port: 0, store: { kind: "in_memory" } });
    onTestFinished(async () => server.close());
    const idle = await connect(server.url, "/");
    const following = await connect(server.url, "/stream/rooms/lobby");
    await following.count(1);
    const closing = server.close();
    expect([await idle.closed, await following.closed]).toEqual([1001, 1001]);
    await closing;
    expect(story(following.frames)).toEqual(["sync"]);
  });
});
