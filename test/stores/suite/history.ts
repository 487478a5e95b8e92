import { describe, expect, it } from "vitest";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import { ALL, changesSince, commit, contents, groupOf, put, remove, testClock } from "./fixture.ts";
import { storesOf } from "./setup.ts";

const ORIGIN = { epoch: "", revision: 0 };

/** Which changes the log keeps, and for how long. */
export function describeHistory(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");
  const maxAgeMs = 60_000;

  describe("history", () => {
    it("replays the changes after a position (G4)", async () => {
      const { store } = await stores();
      const { epoch } = (await commit(store, group, put("a", 1), put("b", 2), remove("a")))
        .position;
      const replay = await store.since(group, { epoch, revision: 1 }, ALL);
      expect(replay).toMatchObject({
        lost: false,
        head: { epoch, revision: 3 },
        changes: [
          { kind: "change", type: "create", itemId: "b", position: { epoch, revision: 2 } },
          { kind: "change", type: "delete", itemId: "a", position: { epoch, revision: 3 } },
        ],
      });
      expect(replay.lost ? [] : replay.changes.map(({ value }) => value.json())).toEqual([2, 1]);
      expect(await store.since(group, { epoch, revision: 3 }, ALL)).toMatchObject({
        lost: false,
        changes: [],
      });
    });

    it("replays in parts by count or by bytes, with at least one change each", async () => {
      const { store } = await stores();
      const { size } = Value.of("0123456789");
      const { epoch } = (
        await commit(store, group, ...Array.from({ length: 6 }, () => put("a", "0123456789")))
      ).position;
      const revisions = async (revision: number, maxCount: number, maxBytes: number) => {
        const replay = await store.since(group, { epoch, revision }, { maxCount, maxBytes });
        return replay.lost ? "lost" : replay.changes.map(({ position }) => position.revision);
      };
      expect(await revisions(0, 2, 1e6)).toEqual([1, 2]);
      expect(await revisions(2, 10, 3 * size)).toEqual([3, 4, 5]);
      expect(await revisions(5, 10, 1)).toEqual([6]);
      expect(await revisions(0, 10, 1)).toEqual([1]);
    });

    it("is lost for a position of another epoch or ahead of the group (G4)", async () => {
      const { store } = await stores();
      const { position } = await commit(store, group, put("a", 1));
      expect(await store.since(group, { ...position, epoch: "other" }, ALL)).toEqual({
        lost: true,
        head: position,
      });
      expect(await store.since(group, { ...position, revision: 2 }, ALL)).toEqual({
        lost: true,
        head: position,
      });
      expect(await store.since(group, { epoch: "", revision: 1 }, ALL)).toEqual({
        lost: true,
        head: position,
      });
      expect(await store.since(groupOf("none"), position, ALL)).toEqual({
        lost: true,
        head: ORIGIN,
      });
    });

    it("honours the origin as long as the log begins at 1 (G4)", async () => {
      const { store } = await stores({ history: { maxChanges: 2 } });
      await commit(store, group, put("a", 1), put("a", 2));
      expect(await store.since(group, ORIGIN, ALL)).toMatchObject({
        lost: false,
        changes: [{}, {}],
      });
      await commit(store, group, put("a", 3));
      expect(await store.since(group, ORIGIN, ALL)).toMatchObject({ lost: true });
    });

    it("drops a change when enough newer ones exist", async () => {
      const { store } = await stores({ history: { maxChanges: 3 } });
      for (let i = 0; i < 5; i++) await commit(store, group, put("a", i));
      expect(await changesSince(store, group, 1)).toBe("lost");
      expect(await changesSince(store, group, 2)).toHaveLength(3);
      await commit(store, group, ...Array.from({ length: 10 }, (_, i) => put("a", i)));
      expect(await changesSince(store, group, 11)).toBe("lost");
      expect(await changesSince(store, group, 12)).toHaveLength(3);
    });

    it("drops the oldest changes when the log exceeds its bytes", async () => {
      const { size } = Value.of("0123456789");
      const { store } = await stores({ history: { maxBytes: 3 * size } });
      for (let i = 0; i < 5; i++) await commit(store, group, put("a", "0123456789"));
      expect(await changesSince(store, group, 1)).toBe("lost");
      expect(await changesSince(store, group, 2)).toHaveLength(3);
      await commit(store, group, put("a", "x".repeat(4 * size)));
      expect(await changesSince(store, group, 5)).toBe("lost");
      expect(await changesSince(store, group, 6)).toEqual([]);
      await commit(store, group, put("a", "0123456789"));
      expect(await changesSince(store, group, 6)).toHaveLength(1);
    });

    it("drops changes that are older than the age limit, swept or not", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs } });
      await commit(store, group, put("a", 1));
      clock.nowMs += maxAgeMs;
      await commit(store, group, put("a", 2));
      expect(await changesSince(store, group, 0)).toHaveLength(2);
      clock.nowMs += 1;
      expect(await changesSince(store, group, 0)).toBe("lost");
      expect(await changesSince(store, group, 1)).toHaveLength(1);
      await sweep();
      expect(await changesSince(store, group, 0)).toBe("lost");
      expect(await changesSince(store, group, 1)).toHaveLength(1);
      clock.nowMs += maxAgeMs;
      expect(await changesSince(store, group, 1)).toBe("lost");
      expect(await changesSince(store, group, 2)).toEqual([]);
      await sweep();
      expect(await changesSince(store, group, 2)).toEqual([]);
      expect(await contents(store, group)).toEqual([["a", 2]]);
    });

    it("says which changes the log holds, those that are expired and not swept left out", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs, maxChanges: 4 } });
      expect(await store.logRange(group)).toEqual({ head: ORIGIN, oldest: 1 });
      const { position } = await commit(store, group, put("a", 1), put("b", 2));
      expect(await store.logRange(group)).toEqual({ head: position, oldest: 1 });
      clock.nowMs += maxAgeMs;
      for (let i = 0; i < 3; i++) await commit(store, group, put("a", i));
      const at = (revision: number) => ({ epoch: position.epoch, revision });
      expect(await store.logRange(group)).toEqual({ head: at(5), oldest: 2 });
      clock.nowMs += 1;
      for (const step of [async () => {}, sweep]) {
        await step();
        expect(await store.logRange(group)).toEqual({ head: at(5), oldest: 3 });
        expect(await changesSince(store, group, 2)).toHaveLength(3);
        expect(await changesSince(store, group, 1)).toBe("lost");
      }
      clock.nowMs += maxAgeMs;
      for (const step of [async () => {}, sweep]) {
        await step();
        expect(await store.logRange(group)).toEqual({ head: at(5), oldest: 6 });
      }
      await commit(store, group, remove("b"));
      expect(await store.logRange(group)).toEqual({ head: at(6), oldest: 6 });
    });

    it("forgets with a group which changes its log held", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs } });
      await commit(store, group, put("a", 1), remove("a"));
      clock.nowMs += maxAgeMs + 3;
      await sweep();
      expect(await store.logRange(group)).toEqual({ head: ORIGIN, oldest: 1 });
      const { position } = await commit(store, group, put("a", 2));
      expect(await store.logRange(group)).toEqual({ head: position, oldest: 1 });
    });

    it("keeps an idle group that holds items forever, at its position", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs } });
      const { position } = await commit(store, group, put("a", 1));
      for (let i = 0; i < 3; i++) {
        clock.nowMs += 10 * maxAgeMs;
        await sweep();
      }
      expect(await store.heads([group])).toMatchObject([{ position }]);
      expect((await commit(store, group, put("a", 2))).position).toEqual({
        ...position,
        revision: 2,
      });
      expect(await changesSince(store, group, 1)).toHaveLength(1);
    });

    it("keeps an emptied group's epoch, revision and log for the age limit", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs } });
      await commit(store, group, put("a", 1));
      const { position } = await commit(store, group, remove("a"));
      clock.nowMs += maxAgeMs;
      await sweep();
      expect(await store.heads([group])).toMatchObject([{ position }]);
      expect(await changesSince(store, group, 1)).toHaveLength(1);
      expect((await commit(store, group, put("a", 2))).position).toEqual({
        ...position,
        revision: 3,
      });
    });

    it("forgets an emptied group after the age limit, and starts a new epoch with its next write", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs } });
      await commit(store, group, put("a", 1), put("b", 1));
      const { position } = await commit(store, group, remove("a"), remove("b"));
      const [before] = await store.heads([group]);
      // Its timestamps ran ahead of the clock by three.
      clock.nowMs += maxAgeMs + 4;
      await sweep();
      expect(await store.heads([group])).toEqual([{ position: ORIGIN, timestamp: 0 }]);
      expect(await store.since(group, position, ALL)).toEqual({ lost: true, head: ORIGIN });
      const again = await commit(store, group, put("b", 2));
      expect(again.position.revision).toBe(1);
      expect(again.position.epoch).not.toBe(position.epoch);
      expect(await store.since(group, position, ALL)).toMatchObject({ lost: true });
      const [after] = await store.heads([group]);
      expect(after?.timestamp).toBeGreaterThan(before?.timestamp ?? 0);
      expect(await contents(store, group)).toEqual([["b", 2]]);
    });

    it("forgets the timestamp of a group that only ever had transient events", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs } });
      await store.broadcast(group, { type: "ping", itemId: undefined, value: Value.of(1) });
      const timestamp = clock.nowMs;
      clock.nowMs += maxAgeMs;
      await sweep();
      expect(await store.heads([group])).toMatchObject([{ timestamp }]);
      clock.nowMs += 1;
      await sweep();
      expect(await store.heads([group])).toMatchObject([{ timestamp: 0 }]);
    });

    it("gives every new history a new epoch", async () => {
      const { store } = await stores();
      const groups = Array.from({ length: 20 }, (_, i) => groupOf(`g${i}`));
      const epochs = await Promise.all(
        groups.map(async (key) => (await commit(store, key, put("a", 1))).position.epoch),
      );
      expect(new Set(epochs).size).toBe(20);
    });

    it("sweeps many groups that are due at once", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs } });
      const groups = Array.from({ length: 600 }, (_, i) => groupOf(`g${i}`));
      await Promise.all(groups.map((key) => commit(store, key, put("a", 1), remove("a"))));
      await commit(store, groupOf("kept"), put("a", 1));
      clock.nowMs += maxAgeMs + 3;
      await sweep();
      const heads = await store.heads(groups);
      expect(heads.every(({ position }) => position.epoch === "")).toBe(true);
      expect(await store.allGroups({ limit: 10 })).toEqual({
        groups: [groupOf("kept")],
        streamCount: 1,
      });
    });
  });
}
