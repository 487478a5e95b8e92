import { once } from "node:events";
import { connect } from "node:http2";
import { memoryStore } from "millrace";
import { createServer } from "millrace/server";
import { describe, expect, it, onTestFinished } from "vitest";
import { doorNamed } from "../support/doors/doors.ts";
import { startServer } from "../support/doors/test-server.ts";

const KEY = { streamName: "s", groupId: "g", itemId: "i" };

describe.each(["grpc", "grpc-js"])("a client %s that receives GOAWAY", (name) => {
  it("receives the response to its call in flight, and uses a new connection for the next one", async () => {
    const server = await startServer();
    const client = doorNamed(name).client(server);
    onTestFinished(() => client.close());
    await client.set({ ...KEY, data: 0 });
    const held = server.store.hold("run");
    const writing = client.set({ ...KEY, data: "in flight" });
    await held.reached;
    const closing = server.close();
    held.release();
    expect(await writing).toMatchObject({ newValue: "in flight" });
    await closing;
    const next = await createServer({ port: server.port, store: memoryStore() });
    onTestFinished(() => next.close());
    const again = async (): Promise<unknown> =>
      client.set({ ...KEY, data: "again" }, { timeoutMs: 2000 }).catch((error: unknown) => {
        // A client may need a moment to notice that its connection has closed.
        if ((error as { code: string }).code !== "unavailable") throw error;
        return again();
      });
    expect(await again()).toMatchObject({ newValue: "again", created: true });
  }, 15_000);
});

describe("a client that ignores GOAWAY", () => {
  it("is disconnected after the grace period", async () => {
    const server = await startServer();
    const session = connect(server.url);
    onTestFinished(() => session.destroy());
    session.on("error", () => {});
    await once(session, "connect");
    const stream = session.request({
      ":method": "POST",
      ":path": "/millrace.v1.StreamService/Set",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    // A request that never ends.
    stream.write(Buffer.from([0, 0, 0, 1, 0]));
    await new Promise<void>((resolve) => session.ping(() => resolve()));
    const goaway = once(session, "goaway");
    const cut = once(session, "close");
    const begun = performance.now();
    const closing = server.close();
    await goaway;
    await Promise.all([cut, closing]);
    expect(performance.now() - begun).toBeLessThan(9000);
  }, 15_000);
});
