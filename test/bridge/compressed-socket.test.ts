import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type Server, createServer } from "millrace/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PerMessageDeflateOptions, WebSocket } from "ws";

import { connect, story } from "./line.ts";
import { serverFrames } from "./raw-line.ts";

const ITEM = { streamName: "chat", groupId: "room", itemId: "answer" };
const JOIN = { streamName: "chat", groupId: "room", subscriptionId: "s" };
const COMPRESS = "/?compress=deltas";
const MAX_FRAME_BYTES = 2000;

describe("a socket that asks for compression", () => {
  let server: Server;
  beforeAll(async () => {
    const bridge = { maxFrameBytes: MAX_FRAME_BYTES };
    server = await createServer({ port: 0, store: { kind: "in_memory" }, bridge });
  });
  afterAll(async () => server?.close());

  /** Sends a text in compressed form, however short. */
  const compressing = { perMessageDeflate: { threshold: 0 } };

  it("gets it only if its URL says so, whatever it offers", async () => {
    const asks = await connect(server.url, COMPRESS);
    expect(asks.socket.extensions).toBe("permessage-deflate");
    const offers = await connect(server.url, "/");
    expect(offers.socket.extensions).toBe("");
    const offersNone = await connect(server.url, COMPRESS, { perMessageDeflate: false });
    expect(offersNone.socket.extensions).toBe("");
  });

  it("receives the deltas of several groups, and whole values between them", async () => {
    const line = await connect(server.url, COMPRESS);
    line.join({ ...JOIN, deltas: true } as typeof JOIN);
    line.join({ ...JOIN, groupId: "other", subscriptionId: "o", deltas: true } as typeof JOIN);
    await line.count(2);
    const text = "x".repeat(200);
    const { service } = server;
    for (const groupId of ["room", "other"]) {
      await service.set({ ...ITEM, groupId, data: { text } });
      for (const value of ["1", "2", "3"]) {
        const ops = [{ type: "append" as const, path: ["text"], value }];
        await service.update({ ...ITEM, groupId, ops });
      }
    }
    await service.set({ ...ITEM, data: { text: "" } });
    const frames = await line.count(11);
    const steps = frames.flatMap(({ event }) => ("ops" in event ? [event.ops] : []));
    expect(steps).toHaveLength(6);
    expect(frames.filter(({ event }) => event.type === "update")).toHaveLength(7);
  });

  it("receives deltas compressed from when it has caught up, not those of its replay", async () => {
    const group = { ...ITEM, groupId: "resumed" };
    const { service } = server;
    const append = async () =>
      service.update({ ...group, ops: [{ type: "append", path: ["text"], value: "1" }] });
    const { position } = await service.set({ ...group, data: { text: "x".repeat(200) } });
    for (let i = 0; i < 3; i++) await append();
    const open = async () => {
      const line = await connect(server.url, COMPRESS);
      let received = Buffer.alloc(0);
      const { _socket: tcp } = line.socket as unknown as { readonly _socket: Socket };
      tcp.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])));
      const { epoch, revision } = position;
      line.join({
        ...JOIN,
        groupId: "resumed",
        resume: { epoch, revision },
        deltas: true,
      } as typeof JOIN);
      await line.count(4);
      return { line, kinds: () => Array.from(serverFrames(received), (each) => each.isCompressed) };
    };
    const sockets = [];
    for (let i = 0; i < 100; i++) sockets.push(await open());
    for (let i = 0; i < 3; i++) await append();
    for (const { line, kinds } of sockets) {
      await line.count(7);
      expect(kinds()).toEqual([false, false, false, false, true, true, true]);
    }
  });

  it("may compress what it sends, up to the limit of a frame after it is inflated", async () => {
    const line = await connect(server.url, COMPRESS, compressing);
    line.join({ ...JOIN, subscriptionId: "x".repeat(100) });
    expect(story(await line.count(1))).toEqual(["sync"]);
    line.socket.send(JSON.stringify({ type: "join", pad: " ".repeat(1_000_000) }));
    expect(await line.closed).toBe(1009);
  });

  it.each([
    ["of any size", undefined, "10"],
    ["of up to 4 KiB", 12, "10"],
    ["of 512 bytes", 9, "9"],
    ["of the size of its choice", false, undefined],
  ])(
    "may offer a window %s for what it sends, and gets a small one if it can",
    async (_, bits, accepted) => {
      const perMessageDeflate = {
        threshold: 0,
        clientMaxWindowBits: bits,
      } as PerMessageDeflateOptions;
      const socket = new WebSocket(server.url.replace("http", "ws") + COMPRESS, {
        perMessageDeflate,
      });
      const opened = once(socket, "open");
      const [{ headers }] = (await once(socket, "upgrade")) as [IncomingMessage];
      const { "sec-websocket-extensions": extensions = "" } = headers;
      expect(/client_max_window_bits=(\d+)/.exec(extensions)?.[1]).toBe(accepted);
      await opened;
      socket.send(JSON.stringify({ type: "join", data: { ...JOIN, groupId: "g".repeat(250) } }));
      const [data] = (await once(socket, "message")) as [Buffer];
      expect(data.toString()).toContain('"sync"');
      socket.terminate();
    },
  );

  it("is refused if it forbids the service to keep the context", async () => {
    const socket = new WebSocket(server.url.replace("http", "ws") + COMPRESS, {
      perMessageDeflate: { serverNoContextTakeover: true },
    });
    const status = await new Promise<number | undefined>((resolve) => {
      socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
      socket.on("open", () => resolve(undefined));
      socket.on("error", () => {});
    });
    socket.terminate();
    expect(status).toBe(400);
  });
});
