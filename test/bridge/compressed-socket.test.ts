import { type Server, createServer } from "millrace/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { connect, story } from "./line.ts";

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

  it("may compress what it sends, up to the limit of a frame after it is inflated", async () => {
    const line = await connect(server.url, COMPRESS, compressing);
    line.join({ ...JOIN, subscriptionId: "x".repeat(100) });
    expect(story(await line.count(1))).toEqual(["sync"]);
    line.socket.send(JSON.stringify({ type: "join", pad: " ".repeat(1_000_000) }));
    expect(await line.closed).toBe(1009);
  });

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
