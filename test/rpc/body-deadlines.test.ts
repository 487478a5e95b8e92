import { afterEach, describe, expect, it, vi } from "vitest";
import { BodyDeadlines } from "../../src/rpc/body-deadlines.ts";

describe("deadlines of bodies", () => {
  afterEach(() => {
    vi.useRealTimers();
  });
  const setUp = () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    const late: string[] = [];
    const deadlines = new BodyDeadlines(30_000);
    const body = (name: string) => ({ late: () => void late.push(name) });
    return { deadlines, late, body };
  };

  it("tell once of a body that has not come whole in time, the oldest first", () => {
    const { deadlines, late, body } = setUp();
    deadlines.begin(body("first"));
    vi.advanceTimersByTime(400);
    deadlines.begin(body("second"));
    vi.advanceTimersByTime(29_500);
    expect(late).toEqual([]);
    vi.advanceTimersByTime(1600);
    expect(late).toEqual(["first", "second"]);
    vi.advanceTimersByTime(60_000);
    expect(late).toEqual(["first", "second"]);
  });

  it("say nothing of what came in time, and keep no timer for it", () => {
    const { deadlines, late, body } = setUp();
    const whole = body("whole");
    deadlines.begin(whole);
    vi.advanceTimersByTime(29_000);
    deadlines.end(whole);
    vi.advanceTimersByTime(10_000);
    expect(late).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    deadlines.begin(body("after"));
    vi.advanceTimersByTime(31_000);
    expect(late).toEqual(["after"]);
  });

  it("go on with those that began later when one is late", () => {
    const { deadlines, late, body } = setUp();
    deadlines.begin(body("early"));
    vi.advanceTimersByTime(20_000);
    deadlines.begin(body("later"));
    vi.advanceTimersByTime(11_000);
    expect(late).toEqual(["early"]);
    vi.advanceTimersByTime(20_000);
    expect(late).toEqual(["early", "later"]);
  });
});
