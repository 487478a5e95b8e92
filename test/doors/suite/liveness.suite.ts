import { describe, expect, it } from "vitest";
import { StreamError } from "millrace";
import type { Door } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import { openProxy } from "../../support/doors/proxy.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";

const STORE_FAILED = {
  code: "unavailable",
  reason: "STORE_UNAVAILABLE",
  message: expect.stringMatching(/^.+\.$/),
};

/** Heartbeats, deadlines and the release of resources. */
export function livenessSuite(door: Door, kind: StoreKind): void {
  describe("an idle subscription", () => {
    const at = openDoor(door, kind, { heartbeatIntervalMs: 100 });
    const group = () => ({ streamName: uniqueName("quiet"), groupId: "g" });

    it("receives heartbeats at its confirmed position (G5)", async () => {
      const key = group();
      const follower = await Follower.open(at.client, key);
      await follower.sync();
      expect((await follower.expect("heartbeat")).position).toEqual({ epoch: "", revision: 0 });
      const { position } = await at.client.set({ ...key, itemId: "i", data: 1 });
      await follower.expectAfterHeartbeats("change");
      expect((await follower.expect("heartbeat")).position).toEqual(position);
      expect((await follower.expect("heartbeat")).position).toEqual(position);
      await follower.close();
    });

    it("of one item receives heartbeats that advance with the group's other changes (G5)", async () => {
      const key = group();
      const follower = await Follower.open(at.client, { ...key, itemId: "mine" });
      await follower.sync();
      await at.client.set({ ...key, itemId: "other", data: 1 });
      const { position } = await at.client.set({ ...key, itemId: "other", data: 2 });
      await follower.reach(2);
      expect(follower.position).toEqual(position);
      await follower.close();
      const resumed = await Follower.open(at.client, {
        ...key,
        itemId: "mine",
        resumeFrom: position,
      });
      expect(await resumed.expect("resumed")).toMatchObject({ position, head: position });
      await resumed.close();
    });

    it("ends when the store cannot confirm it for two intervals (G5)", async () => {
      const follower = await Follower.open(at.client, group());
      await follower.sync();
      const restore = at.server.store.fail("heads", new Error("the disk is gone, see /dev/sda1"));
      const error = await follower.error();
      restore();
      expect(error).toMatchObject(STORE_FAILED);
      expect(error.message).not.toContain("/dev");
      await at.server.store.whenWatches(0);
    });
  });

  describe("a subscription releases its resources", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("leak"), groupId: "g" });

    it("when the client cancels", async () => {
      const key = group();
      const first = await Follower.open(at.client, key);
      const second = await Follower.open(at.client, { ...key, itemId: "i" });
      await first.sync();
      await second.sync();
      expect(at.server.store.watches).toBe(1);
      await first.close();
      await at.client.set({ ...key, itemId: "i", data: 1 });
      expect(await second.expect("change")).toMatchObject({ data: 1 });
      expect(at.server.store.watches).toBe(1);
      await second.close();
      await at.server.store.whenWatches(0);
    });

    it("when the client cancels in the middle of a snapshot", async () => {
      const key = group();
      const mutations = Array.from({ length: 1000 }, (_, i) => ({
        set: { itemId: `i${i}`, data: "x".repeat(500) },
      }));
      await at.client.batch({ ...key, mutations });
      const follower = await Follower.open(at.client, key);
      expect(await follower.expect("sync")).toMatchObject({ first: true, last: false });
      await follower.close();
      await at.server.store.whenWatches(0);
    });

    it("when its first frame cannot be read, and reports the error", async () => {
      const restore = at.server.store.fail(
        "get",
        new StreamError("STORE_UNAVAILABLE", "The store is away."),
      );
      const opened = Follower.open(at.client, { ...group(), itemId: "i" }).then((follower) =>
        follower.next(),
      );
      await expect(opened).rejects.toMatchObject(STORE_FAILED);
      restore();
      await at.server.store.whenWatches(0);
    });

    if (!door.can.deadlines) return;

    it("when the client cancels before the first frame", async () => {
      const held = at.server.store.hold("get");
      const follower = await Follower.open(at.client, { ...group(), itemId: "i" });
      const first = follower.next();
      await held.reached;
      await follower.close();
      await expect(first).rejects.toMatchObject({ code: "canceled" });
      held.release();
      await at.server.store.whenWatches(0);
    });

    it("when the client disconnects without notice", async () => {
      const proxy = await openProxy(at.server.port);
      const client = door.client({ ...at.server, url: proxy.url });
      const follower = await Follower.open(client, group());
      await follower.sync();
      expect(at.server.store.watches).toBe(1);
      proxy.cut();
      await at.server.store.whenWatches(0);
      await follower.error();
      await client.close();
      await proxy.close();
    });

    it("when its deadline passes, and reports that", async () => {
      const follower = await Follower.open(at.client, group(), { timeoutMs: 200 });
      await follower.sync();
      expect(await follower.error()).toMatchObject({ code: "deadline_exceeded" });
      await at.server.store.whenWatches(0);
    });
  });

  if (!door.can.deadlines) return;
  describe("a deadline", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("deadline"), groupId: "g" });

    it("ends a call that takes longer, and not one that finishes in time", async () => {
      const key = { ...group(), itemId: "i" };
      const held = at.server.store.hold("get");
      await expect(at.client.get(key, { timeoutMs: 100 })).rejects.toMatchObject({
        code: "deadline_exceeded",
      });
      held.release();
      expect(await at.client.get(key, { timeoutMs: 10_000 })).toBeUndefined();
    });

    if (door.can.write !== "yes") return;
    it("ends a write stream", async () => {
      const stream = at.client.write({ timeoutMs: 1000 });
      stream.send({ requestId: "1", set: { ...group(), itemId: "i", data: 1 } });
      expect(await stream.next()).toMatchObject({ requestId: "1" });
      await expect(stream.next()).rejects.toMatchObject({ code: "deadline_exceeded" });
      await stream.cancel();
    });
  });
}
