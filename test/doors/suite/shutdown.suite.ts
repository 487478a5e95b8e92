import { describe, expect, it, onTestFinished } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { type StoreKind, startServer } from "../../support/doors/test-server.ts";

const KEY = { streamName: "shutdown", groupId: "g", itemId: "i" } as const;
const SHUTTING_DOWN = {
  code: "unavailable",
  reason: "SHUTTING_DOWN",
  message: expect.stringMatching(/^.+\.$/),
};

/** Stopping the server. */
export function shutdownSuite(door: Door, kind: StoreKind): void {
  describe("a stopping server", () => {
    const open = async () => {
      const server = await startServer(kind);
      const client = door.client(server);
      onTestFinished(async () => {
        await client.close();
        await server.close();
      });
      return { server, client };
    };

    it("ends subscriptions with the reason, and refuses new calls", async () => {
      const { server, client } = await open();
      const follower = await Follower.open(client, KEY);
      await follower.sync();
      await client.set({ ...KEY, data: 1 });
      await follower.expect("change");
      const ended = follower.error();
      const closing = server.server.close();
      expect(await ended).toMatchObject(SHUTTING_DOWN);
      await closing;
      expect(server.store.watches).toBe(0);
      // Over HTTP/1.1, a client may send a call before it notices that its connection was closed.
      const refused = { code: expect.stringMatching(/^(unavailable|aborted)$/) };
      await expect(client.set({ ...KEY, data: 2 })).rejects.toMatchObject(refused);
      const again = Follower.open(client, KEY).then((other) => other.next());
      await expect(again).rejects.toMatchObject(refused);
    });

    it("finishes calls in flight", async () => {
      const { server, client } = await open();
      const held = server.store.hold("run");
      const writing = client.set({ ...KEY, data: "in flight" });
      await held.reached;
      const closing = server.server.close();
      held.release();
      expect(await writing).toMatchObject({ newValue: "in flight", created: true });
      await closing;
    });

    it("stops once, however often it is closed", async () => {
      const { server } = await open();
      await Promise.all([server.server.close(), server.server.close()]);
      await server.server.close();
    });

    if (door.can.write !== "yes") return;
    it("responds to received requests of a write stream, then ends it with the reason", async () => {
      const { server, client } = await open();
      const stream = client.write();
      const held = server.store.hold("run");
      stream.send({ requestId: "1", set: { ...KEY, data: 1 } });
      await held.reached;
      const closing = server.server.close();
      held.release();
      expect(await stream.next()).toMatchObject({ requestId: "1", set: { created: true } });
      await expect(stream.next()).rejects.toMatchObject(SHUTTING_DOWN);
      await closing;
    });
  });
}
