import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import { uniqueName } from "../../support/doors/unique.ts";
import {
  type SocketClient,
  openClient,
  watchGroup,
} from "../../support/lifetimes/socket-client.ts";

const TIMEOUT_MS = 300;

/** A store for a server under test. */
export interface OpenedPlace {
  readonly store: ServerOptions["store"];
  cleanUp(): Promise<void>;
}

const newGroup = () => ({ streamName: "cursors", groupId: uniqueName("g") });

/** Items that live as long as the connection of their writer, on one adapter. */
export function boundSuite(name: string, open: () => Promise<OpenedPlace>): void {
  describe(`an item that is bound to a connection, ${name}`, () => {
    let place: OpenedPlace;
    let server: Server;
    let url: string;
    beforeAll(async () => {
      place = await open();
      server = await createServer({
        port: 0,
        store: place.store,
        presenceTimeoutMs: TIMEOUT_MS,
      });
      ({ url } = server);
    });
    afterAll(async () => {
      await server?.close();
      await place?.cleanUp();
    });

    const group = newGroup();
    const bind = async (client: SocketClient, itemId: string, at = group) =>
      client.call("Set", { ...at, itemId, data: 1, whileConnected: true });

    it("goes at once when its connection is closed cleanly, and others stay", async () => {
      const watch = await watchGroup(url, group);
      const ann = await openClient(url);
      expect(await bind(ann, "bound")).toMatchObject({ result: { created: true } });
      await ann.call("Set", { ...group, itemId: "stays", data: 1 });
      await ann.call("Update", {
        ...group,
        itemId: "updated",
        ops: [{ type: "increment", path: "n", by: 1 }],
        whileConnected: true,
      });
      await watch.until("bound", "stays", "updated");
      const closedMs = performance.now();
      ann.line.socket.close(1000);
      expect((await watch.until("stays")) - closedMs).toBeLessThan(TIMEOUT_MS);
      expect(watch.causes("bound")).toEqual(["disconnected"]);
      expect(watch.causes("updated")).toEqual(["disconnected"]);
    });

    it("goes after the timeout when its connection is cut, and not before", async () => {
      const at = newGroup();
      const watch = await watchGroup(url, at);
      const ann = await openClient(url);
      await bind(ann, "bound", at);
      await watch.until("bound");
      const cutMs = performance.now();
      ann.line.socket.terminate();
      const goneMs = await watch.until();
      expect(goneMs - cutMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 5);
      expect(watch.causes("bound")).toEqual(["disconnected"]);
    });
  });
}
