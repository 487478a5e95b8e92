import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Server, createServer } from "millrace/server";
import { connect, story } from "./line.ts";
import { OPCODE, clientFrame, connectRaw } from "./raw-line.ts";

const GROUP = { streamName: "rooms", groupId: "lobby" };
const join = (data: object) => Buffer.from(JSON.stringify({ type: "join", data }));

describe("a hostile client", () => {
  let server: Server;
  beforeAll(async () => {
    server = await createServer({ port: 0, store: { kind: "in_memory" } });
  });
  afterAll(async () => server?.close());
  // Other clients are still served after each test.
  afterEach(async () => {
    const line = await connect(server.url, "/");
    line.join({ ...GROUP, subscriptionId: "s1" });
    expect(story(await line.count(1))).toEqual(["sync"]);
  });

  it.each([
    ["bytes that are not a frame", Buffer.alloc(5000, 0xff), 1002],
    ["an unmasked frame", Buffer.from([0x81, 2, 0x7b, 0x7d]), 1002],
    ["an unknown opcode", clientFrame(3, Buffer.from("{}")), 1002],
    ["a continuation without a start", clientFrame(OPCODE.continuation, Buffer.from("{}")), 1002],
    ["a ping that is too long", clientFrame(OPCODE.ping, Buffer.alloc(126)), 1002],
    ["a fragmented ping", clientFrame(OPCODE.ping, Buffer.alloc(1), false), 1002],
    ["a text that is not UTF-8", clientFrame(OPCODE.text, Buffer.from([0xc3, 0x28])), 1007],
  ])("is closed with a code of the protocol: %s", async (_, bytes, code) => {
    const line = await connectRaw(server.port);
    line.socket.write(bytes);
    expect(await line.closed).toBe(code);
  });

  it("is closed with 1009 for a frame of 10 MB, and receives the code while it is still sending", async () => {
    const line = await connectRaw(server.port);
    line.socket.write(clientFrame(OPCODE.text, Buffer.alloc(10_000_000, "x")));
    expect(await line.closed).toBe(1009);
  });

  it.each([
    ["by its size, with 1009", 1000, 1009],
    ["by its fragments, with 1008", 0, 1008],
  ])("is closed for a fragmented message that never ends, %s", async (_, size, code) => {
    const line = await connectRaw(server.port);
    const piece = Buffer.alloc(size, " ");
    line.socket.write(clientFrame(OPCODE.text, piece, false));
    const pieces = Buffer.concat(
      Array.from({ length: 100 }, () => clientFrame(OPCODE.continuation, piece, false)),
    );
    for (let i = 0; i < 20; i++) line.socket.write(pieces);
    expect(await line.closed).toBe(code);
  });

  it.each([
    ["text", OPCODE.text, Buffer.from("{}")],
    ["empty", OPCODE.binary, Buffer.alloc(0)],
    ["join", OPCODE.text, join({ ...GROUP, subscriptionId: "s1" })],
    ["ping", OPCODE.ping, Buffer.alloc(0)],
    ["pong", OPCODE.pong, Buffer.alloc(0)],
  ])(
    "is closed for a flood of tiny %s frames, without memory growth",
    async (name, opcode, payload) => {
      const line = await connectRaw(server.port);
      const frames = Buffer.concat(
        Array.from({ length: 1000 }, () => clientFrame(opcode, payload)),
      );
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < 300 && !line.socket.destroyed; i++) {
        if (!line.socket.write(frames))
          await new Promise<void>((resolve) => {
            line.socket.once("drain", resolve);
            line.socket.once("close", resolve);
          });
      }
      expect(await line.closed).toBe(name === "text" || name === "empty" ? 4400 : 4429);
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
    },
  );

  it.each([
    ["arrays", "[".repeat(30_000)],
    ["closed arrays", "[".repeat(30_000) + "]".repeat(30_000)],
    ["objects", '{"a":'.repeat(10_000)],
    ["ignored fields", `{"type":"leave","data":{"x":${"[".repeat(20_000)}${"]".repeat(20_000)}}}`],
  ])("gets an error for deeply nested JSON: %s", async (_, text) => {
    const line = await connect(server.url, "/");
    line.socket.send(text);
    expect((await line.count(1))[0]).toMatchObject({
      event: { type: "error", code: "invalid_argument", reason: "REQUEST_INVALID" },
    });
  });

  it.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "may name a subscription, a stream or an item %s",
    async (name) => {
      const line = await connect(server.url, "/");
      line.join({ subscriptionId: name, streamName: name, groupId: name, id: name });
      expect((await line.count(1))[0]).toMatchObject({
        subscriptionId: name,
        streamName: name,
        event: { type: "sync", data: null },
      });
    },
  );

  it("gets an error for invalid names, without those that are too long", async () => {
    const line = await connect(server.url, "/");
    const long = "x".repeat(30_000);
    line.join({ streamName: long, groupId: "g", subscriptionId: "s1" });
    line.join({ streamName: "s", groupId: "a\u0000", subscriptionId: "s2" });
    line.join({ streamName: "s", groupId: "g", id: "\ud800", subscriptionId: "s3" });
    const frames = await line.count(3);
    for (const frame of frames)
      expect(frame).toMatchObject({ timestamp: 0, event: { reason: "NAME_INVALID" } });
    expect(frames.map(({ streamName }) => streamName)).toEqual(["", "s", "s"]);
  });

  it("does no harm when it disconnects in the middle of a frame or a join", async () => {
    const lines = await Promise.all(Array.from({ length: 50 }, () => connectRaw(server.port)));
    for (const [i, { socket }] of lines.entries()) {
      const frame = clientFrame(OPCODE.text, join({ ...GROUP, subscriptionId: `s${i}` }));
      socket.write(frame.subarray(0, i % 2 === 0 ? frame.length : i));
      if (i % 3 === 0) socket.resetAndDestroy();
      else socket.destroy();
    }
    await Promise.all(lines.map(({ closed }) => closed));
  });
});

describe("a refused connection", () => {
  it("is closed by the service even if its client keeps it open", async () => {
    const server = await createServer({ port: 0, store: { kind: "in_memory" } });
    try {
      const line = await connectRaw(server.port, "/stream/only-one");
      line.socket.pause();
      line.socket.resume();
      await line.closed;
      expect(line.received().toString()).toContain("may be");
    } finally {
      await server.close();
    }
  });
});
