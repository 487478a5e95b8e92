import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WakeSchedule } from "../../src/live/wake-schedule.ts";

let schedule: WakeSchedule;
let woken: string[];
let nowMs: number;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  vi.spyOn(performance, "now").mockImplementation(() => nowMs);
  schedule = new WakeSchedule();
  woken = [];
  nowMs = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Somebody who works for a while when woken. */
function sleeper(name: string, workMs = 0) {
  return {
    wake() {
      woken.push(name);
      nowMs += workMs;
    },
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("who has something to hear", () => {
  test("is woken at the end of the turn, in the order added", async () => {
    schedule.add(sleeper("a"));
    schedule.add(sleeper("b"));
    await Promise.resolve();
    expect(woken).toEqual([]);
    await turn();
    expect(woken).toEqual(["a", "b"]);
  });

  test("is woken without a pause when little was done before", async () => {
    for (let n = 1; n <= 5; n++) {
      schedule.add(sleeper("a"));
      await turn();
      expect(woken).toHaveLength(n);
    }
  });

  test("waits after a long round, no longer than the round was, and is woken with all who came meanwhile", async () => {
    schedule.add(sleeper("long", 5));
    await turn();
    expect(woken).toEqual(["long"]);
    schedule.add(sleeper("a"));
    await turn();
    expect(woken).toEqual(["long"]);
    schedule.add(sleeper("b"));
    nowMs += 5;
    vi.advanceTimersByTime(4);
    await turn();
    expect(woken).toEqual(["long"]);
    vi.advanceTimersByTime(1);
    await turn();
    expect(woken).toEqual(["long", "a", "b"]);
  });

  test("waits 10 ms at most", async () => {
    schedule.add(sleeper("long", 500));
    await turn();
    schedule.add(sleeper("a"));
    vi.advanceTimersByTime(9);
    expect(woken).toEqual(["long"]);
    vi.advanceTimersByTime(1);
    expect(woken).toEqual(["long", "a"]);
  });

  test("lets the event loop do other work in a long round, and goes on in order", async () => {
    const names = Array.from({ length: 200 }, (_, n) => `${n}`);
    for (const name of names) schedule.add(sleeper(name, 0.1));
    let turns = 0;
    while (woken.length < names.length) {
      await turn();
      turns++;
    }
    expect(turns).toBeGreaterThan(2);
    expect(woken).toEqual(names);
  });

  test("who is added while a round is under way is woken in the next, after all of this", async () => {
    const late = sleeper("late");
    schedule.add({
      wake() {
        woken.push("first");
        schedule.add(late);
      },
    });
    schedule.add(sleeper("second"));
    while (woken.length < 3) await turn();
    expect(woken).toEqual(["first", "second", "late"]);
  });
});
