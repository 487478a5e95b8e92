import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Server, type ServerOptions, createServer } from "millrace/server";
import { of, send } from "../../bridge/notices.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { type GroupName, openClient } from "../../support/lifetimes/socket-client.ts";
import {
  type Shown,
  changeTo,
  joinWith,
  presenceOf,
  watchPresence,
} from "../../support/presence/presence-watch.ts";

const TIMEOUT_MS = 300;

/** A store for a server under test. */
export interface OpenedPlace {
  readonly store: ServerOptions["store"];
  cleanUp(): Promise<void>;
}

const newGroup = () => ({ streamName: "rooms", groupId: uniqueName("g") });

/** Presence on one adapter. */
export function presenceSuite(name: string, open: () => Promise<OpenedPlace>): void {
  describe(`presence, ${name}`, () => {
    let place: OpenedPlace;
    let server: Server;
    let url: string;
    beforeAll(async () => {
      place = await open();
      server = await createServer({
        port: 0,
        store: place.store,
        presenceTimeoutMs: TIMEOUT_MS,
        streams: { "quiet-*": { presence: false } },
      });
      ({ url } = server);
    });
    afterAll(async () => {
      await server?.close();
      await place?.cleanUp();
    });

    const shownIn = async (group: GroupName): Promise<Shown[]> => {
      const { items } = await server.service.list(presenceOf(group));
      return items.map(({ data }) => data as unknown as Shown);
    };

    it("is stored before the first frame of the join arrives, with id, user, data and since", async () => {
      const group = newGroup();
      const ann = await openClient(url);
      const beforeMs = Date.now();
      await joinWith(ann, group, { name: "Ann" });
      const [shown, ...others] = await shownIn(group);
      expect(others).toEqual([]);
      expect(shown).toEqual({
        id: ann.connectionId,
        user: null,
        data: { name: "Ann" },
        since: shown?.since,
      });
      expect(shown?.since).toBeGreaterThanOrEqual(beforeMs - 1);
      expect(shown?.since).toBeLessThanOrEqual(Date.now());
      const item = await server.service.get({ ...presenceOf(group), itemId: ann.connectionId });
      expect(item?.data).toEqual(shown);
    });

    it("reaches subscribers of the stream of presence, the client itself included", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, {});
      await watch.until(ann.connectionId);
      await joinWith(ann, presenceOf(group), undefined, "who");
      const own = of(ann.line.frames, "sync").find((each) => each.subscriptionId === "who");
      expect(own?.event.ids).toEqual([ann.connectionId]);
      const bob = await openClient(url);
      await joinWith(bob, group, {});
      await watch.until(ann.connectionId, bob.connectionId);
      await ann.line.until("bob", (all) =>
        of(all, "create").some(({ id }) => id === bob.connectionId),
      );
    });

    it("is deleted at once by a leave frame, without a cause", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, {});
      await watch.until(ann.connectionId);
      ann.line.leave("s");
      await watch.until();
      expect(watch.causes(ann.connectionId)).toEqual([undefined]);
    });

    it("is deleted at once, as disconnected, when the socket closes cleanly", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, {});
      await watch.until(ann.connectionId);
      const closedMs = performance.now();
      ann.line.socket.close(1000);
      expect((await watch.until()) - closedMs).toBeLessThan(TIMEOUT_MS);
      expect(watch.causes(ann.connectionId)).toEqual(["disconnected"]);
    });

    it("is deleted after the timeout when the connection is cut, and not before", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, {});
      await watch.until(ann.connectionId);
      const cutMs = performance.now();
      ann.line.socket.terminate();
      expect((await watch.until()) - cutMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 5);
      expect(watch.causes(ann.connectionId)).toEqual(["disconnected"]);
    });

    it("has one item per connection and group: the last join wins, then the one before it", async () => {
      const group = newGroup();
      const ann = await openClient(url);
      await joinWith(ann, group, { n: 1 }, "first");
      const [before] = await shownIn(group);
      await joinWith(ann, group, { n: 2 }, "second");
      await joinWith(ann, newGroup(), { n: 3 }, "elsewhere");
      await joinWith(ann, group, undefined, "silent");
      expect(await shownIn(group)).toEqual([{ ...before, data: { n: 2 } }]);
      const watch = await watchPresence(url, group);
      ann.line.leave("second");
      expect(await watch.untilShown(ann.connectionId, { n: 1 })).toEqual(before);
      ann.line.leave("first");
      await watch.until();
      expect(of(ann.line.frames, "ended")).toEqual([]);
    });

    it("changes in place with each presence frame, for all subscribers", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, { typing: false });
      const [before] = await shownIn(group);
      changeTo(ann, { typing: true });
      expect(await watch.untilShown(ann.connectionId, { typing: true })).toEqual({
        ...before,
        data: { typing: true },
      });
      expect(watch.changes()).toEqual(["create", "update"]);
    });

    it("stores the last of many changes that arrive at once", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, { n: 0 });
      const [before] = await shownIn(group);
      for (let n = 1; n <= 100; n++) changeTo(ann, { n });
      expect(await watch.untilShown(ann.connectionId, { n: 100 })).toEqual({
        ...before,
        data: { n: 100 },
      });
    });

    it("stays as it is, unnoticed, when its client comes back with its session", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, { name: "Ann" });
      await watch.until(ann.connectionId);
      const before = await shownIn(group);
      ann.line.socket.terminate();
      const again = await openClient(url, { session: ann.session });
      expect(again).toMatchObject({ resumed: true, connectionId: ann.connectionId });
      await joinWith(again, group, { name: "Ann" });
      // One that is lost later, and does not come back, shows that the time is over.
      const bob = await openClient(url);
      await joinWith(bob, group, {});
      bob.line.socket.terminate();
      await watch.until(ann.connectionId, bob.connectionId);
      await watch.until(ann.connectionId);
      expect(await shownIn(group)).toEqual(before);
      expect(watch.changes()).toEqual(["create", "create", "delete"]);
    });

    it("takes new data from a repeated join, and keeps since", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, { name: "Ann" });
      const [before] = await shownIn(group);
      ann.line.socket.terminate();
      const again = await openClient(url, { session: ann.session });
      await joinWith(again, group, { name: "Anna" });
      expect(await watch.untilShown(ann.connectionId, { name: "Anna" })).toEqual({
        ...before,
        data: { name: "Anna" },
      });
      expect(watch.changes()).toEqual(["create", "update"]);
    });

    it("is deleted when its client comes back and does not join again, or without presence", async () => {
      const [left, silent] = [newGroup(), newGroup()];
      const watches = [await watchPresence(url, left), await watchPresence(url, silent)];
      const ann = await openClient(url);
      await joinWith(ann, left, {}, "left");
      await joinWith(ann, silent, {}, "silent");
      for (const watch of watches) await watch.until(ann.connectionId);
      ann.line.socket.terminate();
      const again = await openClient(url, { session: ann.session });
      await joinWith(again, silent, undefined, "silent");
      for (const watch of watches) await watch.until();
    });

    it("is deleted when an operator ends the subscription", async () => {
      const group = newGroup();
      const watch = await watchPresence(url, group);
      const ann = await openClient(url);
      await joinWith(ann, group, {});
      await watch.until(ann.connectionId);
      await server.service.endSubscriptions({ ...group, connectionId: ann.connectionId });
      await watch.until();
      expect(of(ann.line.frames, "ended")).toHaveLength(1);
    });

    it("is not listed, cannot be written by callers, and fires no triggers", async () => {
      const group = newGroup();
      const triggering = server.service.registerTrigger({
        type: "stream",
        function_id: "fired",
        config: { stream_name: presenceOf(group).streamName },
      });
      await expect(triggering).rejects.toMatchObject({ code: "trigger_invalid" });
      await server.service.set({ streamName: "zz", groupId: "g", itemId: "i", data: 1 });
      const ann = await openClient(url);
      await joinWith(ann, group, {});
      const { streams } = await server.service.listAll({ pageSize: 1000 });
      expect(streams.map(({ streamName }) => streamName)).toContain("zz");
      expect(streams.filter(({ streamName }) => streamName.startsWith("millrace:"))).toEqual([]);
      const { groups } = await server.service.listGroups(presenceOf(group));
      expect(groups).toEqual([]);
      const item = { ...presenceOf(group), itemId: "someone" };
      const refused = { code: "permission_denied", reason: "ACTION_DENIED" };
      const writes = [
        server.service.set({ ...item, data: {} }),
        server.service.update({ ...item, ops: [] }),
        server.service.delete({ ...item, itemId: ann.connectionId }),
        server.service.batch({ ...item, mutations: [{ delete: { itemId: "x" } }] }),
        server.service.send({ ...item, data: 1 }),
      ];
      await Promise.all(writes.map((write) => expect(write).rejects.toMatchObject(refused)));
      expect(await shownIn(group)).toHaveLength(1);
    });

    it("has a history, from which a subscriber of the stream resumes (G4)", async () => {
      const group = newGroup();
      const ann = await openClient(url);
      await joinWith(ann, group, { n: 1 });
      const { head } = await server.service.history(presenceOf(group));
      changeTo(ann, { n: 2 });
      const watch = await watchPresence(url, group);
      await watch.until(ann.connectionId);
      const frames = await server.service.subscribe({ ...presenceOf(group), resumeFrom: head });
      const kinds: string[] = [];
      for await (const frame of frames) {
        kinds.push(frame.kind);
        if (frame.kind === "change") break;
      }
      expect(kinds).toEqual(["resumed", "change"]);
    });

    it("is refused for streams that have none, together with the join", async () => {
      const ann = await openClient(url);
      for (const streamName of ["quiet-log", "millrace:presence:rooms", "x".repeat(239)])
        send(ann.line, "join", {
          streamName,
          groupId: "g",
          subscriptionId: streamName.slice(0, 20),
          presence: {},
        });
      const all = await ann.line.until("errors", (each) => of(each, "error").length === 3);
      expect(of(all, "error").map(({ event }) => event.reason)).toEqual(
        Array.from({ length: 3 }, () => "REQUEST_INVALID"),
      );
      expect(of(all, "sync")).toEqual([]);
      await joinWith(ann, { streamName: "x".repeat(238), groupId: "g" }, {}, "long");
      await joinWith(ann, { streamName: "quiet-log", groupId: "g" }, undefined, "quiet");
    });
  });
}
