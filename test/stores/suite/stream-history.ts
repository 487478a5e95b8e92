import { describe, expect, it } from "vitest";
import { DEFAULT_HISTORY, type History } from "../../../src/core/store.ts";
import {
  type OpenStore,
  changesSince,
  commit,
  groupOf,
  put,
  remove,
  testClock,
} from "./fixture.ts";
import { storesOf } from "./setup.ts";

/** A history for each stream. */
export function describeStreamHistory(open: OpenStore): void {
  const stores = storesOf(open);
  const short = groupOf("room", "short");
  const long = groupOf("room", "long");

  describe("history of each stream", () => {
    it("limits the logs of each stream by its own number, bytes and age", async () => {
      const clock = testClock();
      const histories: Record<string, Partial<History>> = {
        few: { maxChanges: 2 },
        small: { maxBytes: 30 },
        brief: { maxAgeMs: 1000 },
        much: { maxChanges: 5, maxAgeMs: 100_000 },
      };
      const { store, sweep } = await stores({
        clock,
        history: (stream) => ({ ...DEFAULT_HISTORY, ...histories[stream] }),
      });
      const groups = Object.keys(histories).map((stream) => groupOf("room", stream));
      for (let i = 0; i < 6; i++)
        await Promise.all(groups.map((group) => commit(store, group, put("a", "0123456789"))));
      const kept = async () => {
        const ranges = await Promise.all(groups.map((group) => store.logRange(group)));
        return ranges.map(({ head, oldest }) => head.revision - oldest + 1);
      };
      expect(await kept()).toEqual([2, 2, 6, 5]);
      clock.nowMs += 1001;
      expect(await kept()).toEqual([2, 2, 0, 5]);
      await sweep();
      expect(await kept()).toEqual([2, 2, 0, 5]);
      clock.nowMs += 99_999;
      await sweep();
      expect(await kept()).toEqual([2, 2, 0, 0]);
    });

    it("forgets empty groups of each stream by its own age", async () => {
      const clock = testClock();
      const { store, sweep } = await stores({
        clock,
        history: (stream) => ({
          ...DEFAULT_HISTORY,
          maxAgeMs: stream === "short" ? 1000 : 100_000,
        }),
      });
      for (const group of [short, long]) await commit(store, group, put("a", 1), remove("a"));
      clock.nowMs += 1003;
      await sweep();
      const [first, second] = await store.heads([short, long]);
      expect(first?.position.revision).toBe(0);
      expect(second?.position.revision).toBe(2);
    });

    it("trims a log that is over a new limit at its next write", async () => {
      let maxChanges = 10;
      const { store } = await stores({
        history: (stream) => ({
          ...DEFAULT_HISTORY,
          maxChanges: stream === "short" ? maxChanges : 10,
        }),
      });
      for (let i = 0; i < 6; i++)
        for (const group of [short, long]) await commit(store, group, put("a", i));
      maxChanges = 2;
      for (const group of [short, long]) await commit(store, group, put("a", 6));
      expect(await changesSince(store, short, 4)).toBe("lost");
      expect(await changesSince(store, short, 5)).toHaveLength(2);
      expect(await changesSince(store, long, 0)).toHaveLength(7);
    });
  });
}
