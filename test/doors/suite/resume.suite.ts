import type { Position } from "millrace";
import { describe, expect, it } from "vitest";
import type { Door } from "../../support/doors/door.ts";
import { Follower } from "../../support/doors/follower.ts";
import { openDoor } from "../../support/doors/open-door.ts";
import type { StoreKind } from "../../support/doors/test-server.ts";
import { uniqueName } from "../../support/doors/unique.ts";

const ORIGIN: Position = { epoch: "", revision: 0 };

/** Resuming from a position (G4). */
export function resumeSuite(door: Door, kind: StoreKind): void {
  describe("a resumed subscription (G4)", () => {
    const at = openDoor(door, kind, { history: { maxChanges: 3000 } });
    const group = () => ({ streamName: uniqueName("resume"), groupId: "g" });
    /** A group with items a0, b1, a2, b3, a4 at revisions 1 to 5. */
    const written = async () => {
      const key = group();
      let position = ORIGIN;
      for (let i = 0; i < 5; i++) {
        const itemId = `${i % 2 === 0 ? "a" : "b"}${i}`;
        position = (await at.client.set({ ...key, itemId, data: i })).position;
      }
      return { key, head: position, at: (revision: number) => ({ ...position, revision }) };
    };

    it("from a position in the same history replays every later change and continues live", async () => {
      const { key, head, at: position } = await written();
      const follower = await Follower.open(at.client, { ...key, resumeFrom: position(2) });
      expect(await follower.expect("resumed")).toEqual({
        kind: "resumed",
        position: position(2),
        head,
      });
      for (const data of [2, 3, 4])
        expect(await follower.expect("change")).toMatchObject({ type: "create", data });
      await at.client.set({ ...key, itemId: "a0", data: "live" });
      expect(await follower.expect("change")).toMatchObject({ type: "update", data: "live" });
      await follower.close();
    });

    it("at the head receives `resumed` and no replay", async () => {
      const { key, head } = await written();
      const follower = await Follower.open(at.client, { ...key, resumeFrom: head });
      expect(await follower.expect("resumed")).toEqual({ kind: "resumed", position: head, head });
      await at.client.set({ ...key, itemId: "x", data: "next" });
      expect(await follower.expect("change")).toMatchObject({
        data: "next",
        position: { revision: 6 },
      });
      await follower.close();
    });

    it("from the origin replays everything while the log begins at 1", async () => {
      const { key, head } = await written();
      const follower = await Follower.open(at.client, { ...key, resumeFrom: ORIGIN });
      expect(await follower.expect("resumed")).toEqual({ kind: "resumed", position: ORIGIN, head });
      await follower.reach(5);
      expect([...follower.state.values()]).toEqual([0, 1, 2, 3, 4]);
      await follower.close();
    });

    it("from the origin of a group that was never written is at the head", async () => {
      const key = group();
      const follower = await Follower.open(at.client, { ...key, resumeFrom: ORIGIN });
      expect(await follower.expect("resumed")).toEqual({
        kind: "resumed",
        position: ORIGIN,
        head: ORIGIN,
      });
      await at.client.set({ ...key, itemId: "i", data: 1 });
      expect(await follower.expect("change")).toMatchObject({
        type: "create",
        position: { revision: 1 },
      });
      await follower.close();
    });

    it.each([
      ["ahead of the group", (head: Position) => ({ ...head, revision: head.revision + 1 })],
      ["of another epoch", (head: Position) => ({ ...head, epoch: "another" })],
      [
        "of another epoch, at the head",
        (head: Position) => ({ epoch: "another", revision: head.revision }),
      ],
      ["without an epoch", (head: Position) => ({ epoch: "", revision: head.revision })],
      ["of an epoch, at revision 0 of another", () => ({ epoch: "another", revision: 0 })],
    ])("from a position %s receives a fresh sync", async (_, stale) => {
      const { key, head } = await written();
      const follower = await Follower.open(at.client, { ...key, resumeFrom: stale(head) });
      const [sync] = await follower.sync();
      expect(sync).toMatchObject({ position: head, first: true, last: true });
      expect([...follower.state.values()]).toEqual([0, 1, 2, 3, 4]);
      await at.client.set({ ...key, itemId: "x", data: "live" });
      expect(await follower.expect("change")).toMatchObject({ data: "live" });
      await follower.close();
    });

    it("from another group's position receives a fresh sync", async () => {
      const { head } = await written();
      const { key } = await written();
      const follower = await Follower.open(at.client, { ...key, resumeFrom: head });
      await follower.sync();
      await follower.close();
    });

    it("of one item replays only that item's changes after a position of its group", async () => {
      const { key, head, at: position } = await written();
      await at.client.set({ ...key, itemId: "b1", data: "later" });
      await at.client.set({ ...key, itemId: "a0", data: "other" });
      const mine = { ...key, itemId: "b1" };
      const follower = await Follower.open(at.client, { ...mine, resumeFrom: position(1) });
      expect(await follower.expect("resumed")).toMatchObject({ head: { revision: 7 } });
      expect(await follower.expect("change")).toMatchObject({ type: "create", data: 1 });
      expect(await follower.expect("change")).toMatchObject({ type: "update", data: "later" });
      await at.client.delete(mine);
      expect(await follower.expect("change")).toMatchObject({
        type: "delete",
        position: { revision: 8 },
      });
      await follower.close();
      const stale = await Follower.open(at.client, {
        ...mine,
        resumeFrom: { ...head, epoch: "x" },
      });
      expect(await stale.sync()).toMatchObject([{ items: [], position: { revision: 8 } }]);
      await stale.close();
    });

    it("survives the emptying of the group", async () => {
      const { key, at: position } = await written();
      for (const itemId of ["a0", "b1", "a2", "b3", "a4"])
        await at.client.delete({ ...key, itemId });
      const follower = await Follower.open(at.client, { ...key, resumeFrom: position(5) });
      await follower.expect("resumed");
      await follower.reach(10);
      const again = await at.client.set({ ...key, itemId: "new", data: 1 });
      expect(again.position).toEqual(position(11));
      await follower.reach(11);
      await follower.close();
    });

    it("replays more than one read returns, while new changes arrive", async () => {
      const key = group();
      const { position } = await at.client.set({ ...key, itemId: "i", data: 0 });
      for (let batch = 0; batch < 3; batch++) {
        const mutations = Array.from({ length: 900 }, (_, i) => ({
          set: { itemId: `i${i % 7}`, data: i },
        }));
        await at.server.service.batch({ ...key, mutations });
      }
      const follower = await Follower.open(at.client, { ...key, resumeFrom: position });
      expect(await follower.expect("resumed")).toMatchObject({ head: { revision: 2701 } });
      for (let i = 0; i < 50; i++) await at.server.service.set({ ...key, itemId: "i", data: i });
      await follower.reach(2751);
      expect(follower.segments).toBe(1);
      await follower.close();
    });
  });

  describe("a subscription resumed from a trimmed log (G4)", () => {
    const at = openDoor(door, kind, { history: { maxChanges: 10 } });

    it.each([
      ["one change too old", 9, "sync"],
      ["the oldest in reach of the log", 10, "resumed"],
      ["the origin", 0, "sync"],
    ] as const)("from a position %s, at %i, receives %s", async (_, revision, expected) => {
      const key = { streamName: uniqueName("trimmed"), groupId: "g" };
      let epoch = "";
      for (let i = 1; i <= 20; i++) {
        const done = await at.client.set({ ...key, itemId: `i${i % 3}`, data: i });
        epoch = done.position.epoch;
      }
      const resumeFrom = revision === 0 ? ORIGIN : { epoch, revision };
      const follower = await Follower.open(at.client, { ...key, resumeFrom });
      expect((await follower.next()).kind).toBe(expected);
      await follower.reach(20);
      expect(follower.state.get("i2")).toBe(20);
      await follower.close();
    });
  });
}
