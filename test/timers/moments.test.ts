import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Moments } from "../../src/timers/moments.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_050 });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Moments, and when each call came. */
function open() {
  const deadlines = new Moments();
  const calls: [name: string, atMs: number][] = [];
  return {
    deadlines,
    calls,
    at: (name: string, moment: number) =>
      deadlines.at(moment, () => calls.push([name, Date.now()])),
  };
}

describe("deadlines", () => {
  it("call back at their moments, never early and at most 100 ms late", () => {
    const { calls, at } = open();
    const moments = [1_000_060, 1_000_100, 1_000_101, 1_003_777, 1_060_000];
    for (const moment of moments) at(String(moment), moment);
    vi.advanceTimersByTime(120_000);
    expect(calls.map(([name]) => Number(name))).toEqual(moments);
    for (const [name, atMs] of calls) {
      expect(atMs).toBeGreaterThanOrEqual(Number(name));
      expect(atMs).toBeLessThanOrEqual(Number(name) + 100);
    }
  });

  it("call back once for a moment that has passed, also from within a call", () => {
    const { deadlines, calls, at } = open();
    deadlines.at(1_000_100, () => at("inner", 5));
    at("past", 999_000);
    vi.advanceTimersByTime(1000);
    expect(calls.map(([name]) => name)).toEqual(["past", "inner"]);
    for (const [, atMs] of calls) expect(atMs).toBeLessThanOrEqual(1_000_300);
  });

  it("do not call back once they are cancelled", () => {
    const { calls, at } = open();
    const first = at("first", 1_000_500);
    at("second", 1_000_500);
    first.cancel();
    first.cancel();
    vi.advanceTimersByTime(1000);
    expect(calls.map(([name]) => name)).toEqual(["second"]);
  });

  it("have one timer, and only while there are moments to come", () => {
    const { at } = open();
    expect(vi.getTimerCount()).toBe(0);
    const all = Array.from({ length: 1000 }, (_, n) => at("", 2_000_000 + n * 1000));
    expect(vi.getTimerCount()).toBe(1);
    for (const each of all) each.cancel();
    expect(vi.getTimerCount()).toBe(0);
    at("", 1_000_100);
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("follow the clock when it leaps forward or is set back", () => {
    const { calls, at } = open();
    at("far", 1_000_000 + 365 * 86_400_000);
    vi.setSystemTime(1_000_000 + 366 * 86_400_000);
    vi.advanceTimersByTime(200);
    expect(calls.map(([name]) => name)).toEqual(["far"]);
    at("keeps the timer", 1e15);
    vi.advanceTimersByTime(200);
    vi.setSystemTime(1_000_000);
    vi.advanceTimersByTime(200);
    at("soon", 1_000_700);
    vi.advanceTimersByTime(1000);
    expect(calls.map(([name]) => name)).toEqual(["far", "soon"]);
  });
});
