import { describe, expect, it } from "vitest";
import type { GroupKey } from "../../../src/core/names.ts";
import type { Head, StateHead, Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import { ALL, commit, groupOf, listen, put, remove, testClock } from "./fixture.ts";
import { storesOf } from "./setup.ts";

const HOUR_MS = 3_600_000;

/** A state that says what its sync carries. */
interface ClockedHead extends Head {
  readonly syncTimestamp: number;
}

/** The state of a group, however it is read. */
const READS: readonly (readonly [string, (store: Store, group: GroupKey) => Promise<StateHead>])[] =
  [
    ["get", (store, group) => store.get(group, "a")],
    [
      "snapshot",
      async (store, group) => {
        const reader = await store.snapshot(group);
        try {
          return await reader.next(ALL);
        } finally {
          reader.close();
        }
      },
    ],
  ];

/** Clients that order by time take every sync of a new epoch, and every event after a sync. */
export function describeGroupClock(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");
  const ping = { type: "ping", itemId: undefined, value: Value.of(1) };

  describe.each(READS)("the syncTimestamp of %s", (_, readState) => {
    const read = async (store: Store, key: GroupKey): Promise<ClockedHead> => {
      const state = await readState(store, key);
      expect(state.syncTimestamp).toEqual(expect.any(Number));
      return state as ClockedHead;
    };

    it("is that of the group's last event", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      await commit(store, group, put("a", 1), put("b", 1));
      clock.nowMs += HOUR_MS;
      for (const last of [clock.nowMs - HOUR_MS + 1, clock.nowMs]) {
        const { timestamp, syncTimestamp } = await read(store, group);
        expect([timestamp, syncTimestamp]).toEqual([last, last]);
        await store.broadcast(group, ping);
      }
    });

    it("is the time for a group that was never written", async () => {
      const clock = testClock();
      const { store } = await stores({ clock });
      for (let i = 0; i < 3; i++) {
        clock.nowMs += 1000;
        const { timestamp, syncTimestamp } = await read(store, group);
        expect(timestamp).toBe(0);
        expect(clock.nowMs - syncTimestamp).toBeOneOf([0, 1]);
      }
    });

    it("is after all events of a group that was forgotten", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({ clock, history: { maxAgeMs: 10 } });
      const ear = await listen(store, group);
      // Many in one millisecond, so that they run ahead of the clock.
      await commit(store, group, ...Array.from({ length: 50 }, (__, i) => put(`i${i}`, i)));
      await commit(store, group, ...Array.from({ length: 50 }, (__, i) => remove(`i${i}`)));
      await ear.heard(100);
      ear.stop();
      for (let i = 0; i < 3; i++) {
        clock.nowMs += 100;
        await sweep();
      }
      const { position, syncTimestamp } = await read(store, group);
      expect(position).toEqual({ epoch: "", revision: 0 });
      expect(syncTimestamp).toBeGreaterThan(ear.events.at(-1)?.timestamp ?? Infinity);
    });

    it.each([
      ["at once", 0],
      ["later", 5],
      ["after the clock was set back", -HOUR_MS],
    ])("is before every event that comes %s", async (__, step) => {
      const clock = testClock();
      const { store } = await stores({ clock });
      const other = groupOf("other");
      const [first, second] = [await listen(store, group), await listen(store, other)];
      const before = await read(store, group);
      const beforeOther = await read(store, other);
      clock.nowMs += step;
      await commit(store, group, put("a", 1));
      await store.broadcast(other, ping);
      await Promise.all([first.heard(1), second.heard(1)]);
      expect(first.events[0]?.timestamp).toBeGreaterThan(before.syncTimestamp);
      expect(second.events[0]?.timestamp).toBeGreaterThan(beforeOther.syncTimestamp);
      const after = await read(store, group);
      expect(after.syncTimestamp).toBe(first.events[0]?.timestamp);
      await commit(store, group, put("a", 2));
      await first.heard(2);
      expect(first.events[1]?.timestamp).toBeGreaterThan(after.syncTimestamp);
    });

    it("is before the event of a write that was under way when the state was read", async () => {
      const clock = testClock();
      const { store } = await stores({
        clock: () => {
          clock.nowMs += 10;
          return clock.nowMs;
        },
      });
      for (let i = 0; i < 10; i++) {
        const fresh = groupOf(`g${i}`);
        const ear = await listen(store, fresh);
        let isDone = false;
        const written = commit(store, fresh, put("a", 1)).then(() => (isDone = true));
        const syncs: number[] = [];
        while (!isDone) {
          const { position, syncTimestamp } = await read(store, fresh);
          if (position.revision === 0) syncs.push(syncTimestamp);
          await new Promise((resolve) => setImmediate(resolve));
        }
        await written;
        await ear.heard(1);
        for (const sync of syncs) expect(ear.events[0]?.timestamp).toBeGreaterThan(sync);
      }
    });
  });
}
