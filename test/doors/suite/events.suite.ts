import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";
import { textOfBytes } from "../../support/doors/values.ts";

/** Send: transient events. */
export function eventsSuite(door: Door, kind: StoreKind): void {
  describe("a transient event", () => {
    const at = openDoor(door, kind);
    const group = () => ({ streamName: uniqueName("events"), groupId: "g" });

    it("reaches the group's subscribers with type, value and item; the default type is `message`", async () => {
      const key = group();
      const follower = await Follower.open(at.client, key);
      await follower.sync();
      const timestamp = expect.any(Number) as number;
      const of = { kind: "event", itemId: undefined, timestamp, author: "" } as const;
      await at.client.send({ ...key, data: null });
      expect(await follower.next()).toEqual({ ...of, type: "message", data: null });
      await at.client.send({ ...key, type: "", data: [1] });
      expect(await follower.next()).toEqual({ ...of, type: "message", data: [1] });
      await at.client.send({ ...key, type: "typing", data: { by: "ann" }, itemId: "m1" });
      expect(await follower.next()).toEqual({
        ...of,
        type: "typing",
        data: { by: "ann" },
        itemId: "m1",
      });
      const largest = { type: "é".repeat(128), data: textOfBytes(1024 * 1024) };
      await at.client.send({ ...key, ...largest });
      expect(await follower.expect("event")).toMatchObject(largest);
      await follower.close();
    });

    it("reaches an item's subscribers only when it names their item", async () => {
      const key = group();
      const mine = await Follower.open(at.client, { ...key, itemId: "mine" });
      const all = await Follower.open(at.client, key);
      await mine.sync();
      await all.sync();
      await at.client.send({ ...key, data: "for the group" });
      await at.client.send({ ...key, data: "for another", itemId: "other" });
      await at.client.send({ ...key, data: "for mine", itemId: "mine" });
      await at.client.send({ ...key, groupId: "elsewhere", data: "not for us", itemId: "mine" });
      await at.client.set({ ...key, itemId: "mine", data: "end" });
      expect(await mine.next()).toMatchObject({ kind: "event", data: "for mine", itemId: "mine" });
      expect(await mine.next()).toMatchObject({ kind: "change", data: "end" });
      const received = [await all.next(), await all.next(), await all.next(), await all.next()];
      expect(received).toMatchObject([
        { data: "for the group" },
        { data: "for another" },
        { data: "for mine" },
        { data: "end" },
      ]);
      await mine.close();
      await all.close();
    });

    it("arrives after every change that was acknowledged before it was sent", async () => {
      const key = group();
      const follower = await Follower.open(at.client, key);
      await follower.sync();
      for (let i = 0; i < 40; i++) {
        await at.client.set({ ...key, itemId: "i", data: i });
        await at.client.send({ ...key, data: i });
      }
      for (let i = 0; i < 40; i++) {
        expect(await follower.expect("change")).toMatchObject({ data: i });
        expect(await follower.expect("event")).toMatchObject({ data: i });
      }
      await follower.close();
    });

    it("sent while a subscription starts arrives after the snapshot or not at all", async () => {
      const key = group();
      await at.client.set({ ...key, itemId: "i", data: 0 });
      const opening = Follower.open(at.client, key);
      await Promise.all(Array.from({ length: 10 }, (_, i) => at.client.send({ ...key, data: i })));
      const follower = await opening;
      await follower.sync();
      await at.client.send({ ...key, data: "sent after sync" });
      for (let received: unknown; received !== "sent after sync";)
        received = (await follower.expect("event")).data;
      await follower.close();
    });

    it("is never replayed, takes no revision and creates no group", async () => {
      const key = group();
      await at.client.send({ ...key, data: "lost" });
      const groups = await at.client.listGroups(key);
      expect(groups).toEqual({ groups: [], nextPageToken: "" });
      const { position } = await at.client.set({ ...key, itemId: "i", data: 1 });
      expect(position.revision).toBe(1);
      await at.client.send({ ...key, data: "lost too" });
      const fresh = await Follower.open(at.client, key);
      const resumed = await Follower.open(at.client, { ...key, resumeFrom: position });
      await fresh.sync();
      await resumed.expect("resumed");
      await at.client.set({ ...key, itemId: "i", data: 2 });
      expect(await fresh.next()).toMatchObject({
        kind: "change",
        data: 2,
        position: { revision: 2 },
      });
      expect(await resumed.next()).toMatchObject({ kind: "change", data: 2 });
      await fresh.close();
      await resumed.close();
    });

    it("shares the group's clock: a later sync carries its timestamp", async () => {
      const key = group();
      const follower = await Follower.open(at.client, key);
      await follower.sync();
      await at.client.set({ ...key, itemId: "i", data: 1 });
      await at.client.send({ ...key, data: 1 });
      await follower.expect("change");
      const { timestamp } = await follower.expect("event");
      const later = await Follower.open(at.client, key);
      expect(await later.sync()).toMatchObject([{ timestamp }]);
      await follower.close();
      await later.close();
    });

    it("is refused with an invalid name or a type that is too long", async () => {
      const key = group();
      const refused = [
        [{ ...key, data: 1, itemId: "" }, "NAME_INVALID", "item_id"],
        [{ ...key, groupId: "", data: 1 }, "NAME_INVALID", "group_id"],
        [{ ...key, data: 1, type: "x".repeat(257) }, "REQUEST_INVALID", "type"],
      ] as const;
      for (const [request, reason, field] of refused) {
        await expect(at.client.send(request)).rejects.toMatchObject({
          code: "invalid_argument",
          reason,
          metadata: { field },
        });
      }
    });
  });
}
