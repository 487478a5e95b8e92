import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestServer, startServer } from "../support/doors/test-server.ts";
import { connect } from "./line.ts";

const GROUP = { streamName: "rooms", groupId: "lobby" };
/** Each value exceeds the limits of a queue; together they exceed the system's socket buffers. */
const LARGE = "x".repeat(500_000);
const CHANGES = 40;

describe("a client that does not read (G7)", () => {
  let server: TestServer;
  let skewMs = 0;
  beforeAll(async () => {
    server = await startServer("memory", {
      history: { maxBytes: 64 * 1024 * 1024 },
      // Checked every 20 ms.
      heartbeatIntervalMs: 100,
      subscriberQueue: { maxFrames: 10, maxBytes: 64 * 1024 },
      now: () => Date.now() + skewMs,
    });
  });
  afterAll(async () => server?.close());

  const write = async (groupId: string) => {
    for (let n = 1; n <= CHANGES; n++)
      await server.service.set({ ...GROUP, groupId, itemId: "a", data: { n, text: LARGE } });
  };

  it("is closed with 4430 after the stall timeout, and receives the code when it reads again", async () => {
    const line = await connect(server.url, "/");
    line.join({ ...GROUP, subscriptionId: "s1" });
    await line.count(1);
    line.socket.pause();
    await write(GROUP.groupId);
    // Repeated, because the system may still accept bytes after the first time.
    const hurry = setInterval(() => (skewMs += 61_000), 50);
    await server.store.whenWatches(0);
    clearInterval(hurry);
    line.socket.resume();
    expect(await line.closed).toBe(4430);
  });

  it("receives every missed change when it reads again in time, while others are served", async () => {
    const groupId = "patient";
    const [slow, quick] = [await connect(server.url, "/"), await connect(server.url, "/")];
    for (const line of [slow, quick]) {
      line.join({ ...GROUP, groupId, subscriptionId: "s1" });
      await line.count(1);
    }
    slow.socket.pause();
    await write(groupId);
    await quick.count(1 + CHANGES);
    slow.socket.resume();
    const frames = await slow.count(1 + CHANGES);
    expect(frames.map(({ revision }) => revision)).toEqual(
      Array.from({ length: 1 + CHANGES }, (_, i) => i),
    );
  });
});
