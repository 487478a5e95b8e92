import { describe, expect, it } from "vitest";
import type { GroupKey } from "../../../src/core/names.ts";
import type { Head, StateHead, Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import { ALL, commit, groupOf, listen, put, remove, testClock } from "./fixture.ts";
import { storesOf } from "./setup.ts";

const HOUR_MS = 3_600_000;

/** A state with the timestamp of its sync. */
interface ClockedHead extends Head {
  readonly syncTimestamp: number;
}

/** Every way to read the state of a group. */
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

/** Clients that order by time accept every sync of a new epoch, and every event after a sync. */
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
      const recorder = await listen(store, group);
      // Many in one millisecond, so that their timestamps run ahead of the clock.
      await commit(store, group, ...Array.from({ length: 50 }, (__, i) => put(`i${i}`, i)));
      await commit(store, group, ...Array.from({ length: 50 }, (__, i) => remove(`i${i}`)));
      await recorder.received(100);
      recorder.stop();
      for (let i = 0; i < 3; i++) {
        clock.nowMs += 100;
        await sweep();
      }
      const { position, syncTimestamp } = await read(store, group);
      expect(position).toEqual({ epoch: "", revision: 0 });
      expect(syncTimestamp).toBeGreaterThan(recorder.events.at(-1)?.timestamp ?? Infinity);
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
      await Promise.all([first.received(1), second.received(1)]);
      expect(first.events[0]?.timestamp).toBeGreaterThan(before.syncTimestamp);
      expect(second.events[0]?.timestamp).toBeGreaterThan(beforeOther.syncTimestamp);
      const after = await read(store, group);
      expect(after.syncTimestamp).toBe(first.events[0]?.timestamp);
      await commit(store, group, put("a", 2));
      await first.received(2);
      expect(first.events[1]?.timestamp).toBeGreaterThan(after.syncTimestamp);
    });

    it("is before the event of a write that was in progress when the state was read", async () => {
      const clock = testClock();
      const { store } = await stores({
        clock: () => {
          clock.nowMs += 10;
          return clock.nowMs;
        },
      });
      for (let i = 0; i < 10; i++) {
        const fresh = groupOf(`g${i}`);
        const recorder = await listen(store, fresh);
        let isDone = false;
        const written = commit(store, fresh, put("a", 1)).then(() => (isDone = true));
        const syncs: number[] = [];
        while (!isDone) {
          const { position, syncTimestamp } = await read(store, fresh);
          if (position.revision === 0) syncs.push(syncTimestamp);
          await new Promise((resolve) => setImmediate(resolve));
        }
        await written;
        await recorder.received(1);
        for (const sync of syncs) expect(recorder.events[0]?.timestamp).toBeGreaterThan(sync);
      }
    });
  });
}
