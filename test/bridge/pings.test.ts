import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { CHECKS_PER_INTERVAL } from "../../src/bridge/liveness.ts";
import { Pings } from "../../src/bridge/pings.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A socket that counts its checks. */
function socket() {
  const counted = { checks: 0, check: () => void counted.checks++ };
  return counted;
}
const INTERVAL_MS = 8000;

it("sockets are checked at the usual pace, and hurried ones at theirs", () => {
  const pings = new Pings(INTERVAL_MS, INTERVAL_MS / 10);
  const [usual, hurried] = [socket(), socket()];
  for (const each of [usual, hurried]) pings.add(each);
  pings.hurry(hurried);
  pings.hurry(hurried);
  vi.advanceTimersByTime(INTERVAL_MS);
  expect(usual.checks).toBe(CHECKS_PER_INTERVAL);
  expect(hurried.checks).toBe(10 * CHECKS_PER_INTERVAL);
});

it("sockets are never checked at a slower pace than the usual one", () => {
  const pings = new Pings(INTERVAL_MS, 2 * INTERVAL_MS);
  const one = socket();
  pings.add(one);
  pings.hurry(one);
  vi.advanceTimersByTime(INTERVAL_MS);
  expect(one.checks).toBe(CHECKS_PER_INTERVAL);
});

it("removed sockets are not checked, and without sockets no timer runs", () => {
  const pings = new Pings(INTERVAL_MS, INTERVAL_MS / 10);
  const [usual, hurried] = [socket(), socket()];
  for (const each of [usual, hurried]) pings.add(each);
  pings.hurry(hurried);
  expect(vi.getTimerCount()).toBe(2);
  for (const each of [usual, hurried]) pings.remove(each);
  // One that closes while it says hello.
  pings.hurry(hurried);
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(INTERVAL_MS);
  expect([usual.checks, hurried.checks]).toEqual([0, 0]);
});
