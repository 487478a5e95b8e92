import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import { connect } from "../../bridge/line.ts";
import { of } from "../../bridge/notices.ts";
import { openProxy } from "../../support/doors/proxy.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import {
  type GroupName,
  type SocketClient,
  openClient,
  watchGroup,
} from "../../support/lifetimes/socket-client.ts";

/** How long sessions wait for their clients, in milliseconds. */
const TIMEOUT_MS = 400;
/** A timer may fire this much earlier by another clock, in milliseconds. */
const EARLY_MS = 5;

/** A store for the server under test. */
export interface OpenedPlace {
  readonly store: ServerOptions["store"];
  cleanUp(): Promise<void>;
}

const newGroup = (): GroupName => ({ streamName: "cursors", groupId: uniqueName("g") });
const bind = async (client: SocketClient, group: GroupName, itemId: string, more: object = {}) =>
  client.call("Set", { ...group, itemId, data: { n: 1 }, whileConnected: true, ...more });

/**
 * Items that live as long as the connection of their writer, on one adapter.
 *
 * @param lasts Whether what the store holds outlives its server.
 */
export function boundSuite(name: string, lasts: boolean, open: () => Promise<OpenedPlace>): void {
  describe(`an item that is bound to a connection, ${name}`, () => {
    let place: OpenedPlace;
    let server: Server;
    let url: string;
    beforeAll(async () => {
      place = await open();
      server = await createServer({
        ...{ port: 0, store: place.store, presenceTimeoutMs: TIMEOUT_MS },
      });
      ({ url } = server);
    });
    afterAll(async () => {
      await server?.close();
      await place?.cleanUp();
    });

    it.each([1000, 1001, undefined])(
      "is deleted at once when its client closes the connection with the code %s, and no other item is",
      async (code) => {
        const group = newGroup();
        const watch = await watchGroup(url, group);
        const ann = await openClient(url);
        expect(await bind(ann, group, "set")).toMatchObject({ result: { created: true } });
        const ops = [{ type: "increment", path: "n", by: 1 }];
        await ann.call("Update", { ...group, itemId: "updated", ops, whileConnected: true });
        await ann.call("Set", { ...group, itemId: "stays", data: 1 });
        await ann.call("Update", { ...group, itemId: "stays, too", ops, whileConnected: false });
        await watch.until("set", "stays", "stays, too", "updated");
        const closedMs = performance.now();
        ann.line.socket.close(code);
        const goneMs = await watch.until("stays", "stays, too");
        expect(goneMs - closedMs).toBeLessThan(TIMEOUT_MS - EARLY_MS);
        for (const id of ["set", "updated"]) expect(watch.causes(id)).toEqual(["disconnected"]);
      },
    );

    it("is deleted after the timeout when its connection is cut, and not before", async () => {
      const group = newGroup();
      const watch = await watchGroup(url, group);
      const ann = await openClient(url);
      await bind(ann, group, "a");
      await watch.until("a");
      const cutMs = performance.now();
      ann.line.socket.terminate();
      expect((await watch.until()) - cutMs).toBeGreaterThanOrEqual(TIMEOUT_MS - EARLY_MS);
      expect(watch.causes("a")).toEqual(["disconnected"]);
    });

    it("is deleted at most twice the timeout after its client falls silent", async () => {
      const group = newGroup();
      const watch = await watchGroup(url, group);
      const proxy = await openProxy(server.port);
      onTestFinished(async () => proxy.close());
      const ann = await openClient(proxy.url);
      await bind(ann, group, "a");
      await watch.until("a");
      proxy.stall();
      const stalledMs = performance.now();
      const goneMs = await watch.until();
      expect(goneMs - stalledMs).toBeGreaterThanOrEqual(TIMEOUT_MS - EARLY_MS);
      expect(goneMs - stalledMs).toBeLessThan(2 * TIMEOUT_MS + 500);
      expect(watch.causes("a")).toEqual(["disconnected"]);
    });

    it("stays when its client comes back with its session, until the session is over", async () => {
      const group = newGroup();
      const watch = await watchGroup(url, group);
      const before = await openClient(url);
      await bind(before, group, "a");
      await watch.until("a");
      let ann = before;
      for (let n = 0; n < 2; n++) {
        ann.line.socket.terminate();
        ann = await openClient(url, before);
        expect(ann).toMatchObject({ resumed: true, connectionId: before.connectionId });
        await bind(ann, group, `b${n}`);
      }
      // The old socket is closed, although it is alive.
      const last = await openClient(url, before);
      expect(await ann.line.closed).toBe(4409);
      const lost = await openClient(url);
      await bind(lost, group, "lost");
      lost.line.socket.terminate();
      await watch.until("a", "b0", "b1", "lost");
      // The timeout has passed for what was lost last.
      await watch.until("a", "b0", "b1");
      expect(watch.causes("a")).toEqual([]);
      last.line.socket.close();
      await watch.until();
    });

    it("is bound anew by a Set and kept by an Update, whoever makes them", async () => {
      const group = newGroup();
      const watch = await watchGroup(url, group);
      const [ann, bob] = [await openClient(url), await openClient(url)];
      const ops = [{ type: "increment", path: "n", by: 1 }];
      for (const id of ["freed", "moved", "kept", "moved by update"]) await bind(ann, group, id);
      await bob.call("Set", { ...group, itemId: "freed", data: 1 });
      await bind(bob, group, "moved");
      await bob.call("Update", { ...group, itemId: "kept", ops });
      await bob.call("Update", { ...group, itemId: "moved by update", ops, whileConnected: true });
      ann.line.socket.close();
      await watch.until("freed", "moved", "moved by update");
      bob.line.socket.close();
      await watch.until("freed");
    });

    it("is deleted at the first of its two ends when it also has a ttl", async () => {
      const group = newGroup();
      const watch = await watchGroup(url, group);
      const ann = await openClient(url);
      await bind(ann, group, "short", { ttl: "1s" });
      await bind(ann, group, "long", { ttl: "60s" });
      await watch.until("long", "short");
      await watch.until("long");
      expect(watch.causes("short")).toEqual(["expired"]);
      ann.line.socket.close();
      await watch.until();
      expect(watch.causes("long")).toEqual(["disconnected"]);
    });

    it("is deleted from all groups, however many there are", async () => {
      const groups = Array.from({ length: 70 }, newGroup);
      const ann = await openClient(url);
      for (let i = 0; i < 5; i++)
        await Promise.all(groups.map(async (group) => bind(ann, group, `i${i}`)));
      const line = await connect(url, "/");
      for (const group of groups) line.join({ ...group, subscriptionId: group.groupId });
      await line.until("the syncs", (frames) => of(frames, "sync").length === groups.length);
      ann.line.socket.close();
      await line.until("deletes", (frames) => of(frames, "delete").length === 5 * groups.length);
    });

    it("is deleted even if its call is under way when the connection ends", async () => {
      const group = newGroup();
      const watch = await watchGroup(url, group);
      const [clean, cut] = [await openClient(url), await openClient(url)];
      for (const [name, client] of Object.entries({ clean, cut }))
        for (let i = 0; i < 50; i++)
          client.sendCall("Set", {
            ...{ ...group, itemId: `${name}-${i}`, data: 1, whileConnected: true },
          });
      const marker = await openClient(url);
      clean.line.socket.close();
      cut.line.socket.terminate();
      await clean.line.closed;
      await cut.line.closed;
      await bind(marker, group, "marker");
      await watch.until("marker");
      expect(watch.causes("clean-49").length).toBeLessThanOrEqual(1);
    });

    if (!lasts) return;
    it("is deleted when the server stops, so that the next one does not have it", async () => {
      const group = newGroup();
      const ann = await openClient(url);
      await bind(ann, group, "a");
      await ann.call("Set", { ...group, itemId: "stays", data: 1 });
      await server.close();
      expect(await ann.line.closed).toBe(1001);
      server = await createServer({
        ...{ port: 0, store: place.store, presenceTimeoutMs: TIMEOUT_MS },
      });
      ({ url } = server);
      const watch = await watchGroup(url, group);
      await watch.until("stays");
    });
  });
}
