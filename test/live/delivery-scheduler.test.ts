import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DeliveryScheduler } from "../../src/live/delivery-scheduler.ts";

let rounds: DeliveryScheduler;
let delivered: string[];
let nowMs: number;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  rounds = new DeliveryScheduler();
  delivered = [];
  nowMs = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A deliverer that works for `workMs`, a millisecond per call. */
function deliverer(name: string, workMs = 0) {
  let leftMs = workMs;
  return {
    deliver() {
      const ms = Math.min(leftMs, 1);
      leftMs -= ms;
      nowMs += ms;
      if (leftMs > 0) return false;
      delivered.push(name);
      return true;
    },
  };
}

/** Lets turns of the event loop pass until `count` deliverers are done. Returns how many passed. */
const until = async (count: number) => {
  let turns = 0;
  for (; delivered.length < count; turns++) await turn();
  return turns;
};
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("a round of deliveries", () => {
  test("begins at the end of the turn, in the order in which deliverers were added", async () => {
    rounds.add(deliverer("a"));
    rounds.add(deliverer("b"));
    await Promise.resolve();
    expect(delivered).toEqual([]);
    await turn();
    expect(delivered).toEqual(["a", "b"]);
  });

  test("follows a short round without a pause", async () => {
    for (let n = 1; n <= 5; n++) {
      rounds.add(deliverer("a"));
      await turn();
      expect(delivered).toHaveLength(n);
    }
  });

  test("follows a long round after a pause of the same length, with all deliverers added meanwhile", async () => {
    rounds.add(deliverer("long", 5));
    await until(1);
    expect(delivered).toEqual(["long"]);
    rounds.add(deliverer("a"));
    await turn();
    expect(delivered).toEqual(["long"]);
    rounds.add(deliverer("b"));
    nowMs += 5;
    vi.advanceTimersByTime(4);
    await turn();
    expect(delivered).toEqual(["long"]);
    vi.advanceTimersByTime(1);
    await turn();
    expect(delivered).toEqual(["long", "a", "b"]);
  });

  test("follows the round before after 10 ms at most", async () => {
    rounds.add(deliverer("long", 50));
    await until(1);
    rounds.add(deliverer("a"));
    vi.advanceTimersByTime(9);
    expect(delivered).toEqual(["long"]);
    vi.advanceTimersByTime(1);
    expect(delivered).toEqual(["long", "a"]);
  });

  test("lets the event loop do other work when it is long, and continues in order", async () => {
    const names = Array.from({ length: 200 }, (_, n) => `${n}`);
    for (const name of names) rounds.add(deliverer(name, 0.1));
    expect(await until(names.length)).toBeGreaterThan(2);
    expect(delivered).toEqual(names);
  });

  test("continues with a deliverer that needs longer than a slice", async () => {
    rounds.add(deliverer("long", 9));
    rounds.add(deliverer("a"));
    expect(await until(2)).toBe(3);
    expect(delivered).toEqual(["long", "a"]);
  });

  test("lets the work that follows a delivery run before the next step", async () => {
    const followed: string[] = [];
    const few = Array.from({ length: 16 }, (_, n) => ({
      deliver() {
        process.nextTick(() => followed.push(`${n}`));
        return true;
      },
    }));
    for (const each of few) rounds.add(each);
    let before = 0;
    rounds.add({
      deliver() {
        before = followed.length;
        return delivered.push("last") > 0;
      },
    });
    await until(1);
    expect(before).toBe(16);
  });

  test("ends before deliverers that were added during it run", async () => {
    const late = deliverer("late");
    rounds.add({
      deliver() {
        delivered.push("first");
        rounds.add(late);
        return true;
      },
    });
    rounds.add(deliverer("second"));
    await until(3);
    expect(delivered).toEqual(["first", "second", "late"]);
  });
});
