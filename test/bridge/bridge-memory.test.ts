import { describe, expect, it, onTestFinished } from "vitest";
import { memoryStore } from "millrace";
import { type Server, createServer } from "millrace/server";
import { connect } from "./line.ts";

const MIB = 1024 * 1024;
const GROUP = { streamName: "rooms", groupId: "large" };
const ITEMS = 8;
const LARGE = "x".repeat(MIB - 100);

/** Starts a service with a group whose snapshot has 8 MiB. */
async function start(maxSnapshotBytes: number): Promise<Server> {
  const server = await createServer({ port: 0, store: memoryStore(), maxSnapshotBytes });
  onTestFinished(() => server.close());
  for (let i = 0; i < ITEMS; i++)
    await server.service.set({ ...GROUP, itemId: `i${i}`, data: { text: LARGE } });
  return server;
}

describe("a socket while the memory of unread snapshots is full", () => {
  it("is closed with 1013 in the middle of a snapshot when its client uses no extension", async () => {
    const { url } = await start(6 * MIB);
    const line = await connect(url, "/stream/rooms/large");
    expect(await line.closed).toBe(1013);
    expect(line.frames.map(({ event }) => event.reason)).toEqual(["OVERLOADED"]);
  });

  it("stays open in the middle of a snapshot when its client uses extensions", async () => {
    const { url } = await start(6 * MIB);
    const line = await connect(url, "/");
    line.join({ ...GROUP, subscriptionId: "large", heartbeat: true });
    await line.count(1);
    line.join({ ...GROUP, groupId: "small", subscriptionId: "small" });
    const frames = await line.count(2);
    expect(frames.map(({ event }) => event.reason ?? event.type)).toEqual(["OVERLOADED", "sync"]);
    expect(frames[0]?.event).toMatchObject({ metadata: { retry_after_ms: "1000" } });
  });

  it("is cut when it reads nothing and its address holds the most, so that newcomers are served", async () => {
    const { url } = await start(20 * MIB);
    const headers = { "x-forwarded-for": "198.51.100.1" };
    const stalled = [];
    for (let i = 0; i < 6; i++) {
      const line = await connect(url, "/", { headers });
      line.socket.pause();
      line.join({ ...GROUP, subscriptionId: "large" });
      stalled.push(line);
    }
    for (const address of ["198.51.100.2", "198.51.100.3"]) {
      const line = await connect(url, "/stream/rooms/large", {
        headers: { "x-forwarded-for": address },
      });
      const [first] = await line.count(1);
      expect(first?.event.type).toBe("sync");
    }
    for (const { socket } of stalled) socket.resume();
    await Promise.race(stalled.map(({ closed }) => closed));
  });
});
