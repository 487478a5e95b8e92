import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { sleep, startInterval, startTimer } from "../../src/timers/timers.ts";

const DAY_MS = 86_400_000;
/** Longest wait of a timer of Node. */
const MAX_MS = 2 ** 31 - 1;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it.each([0, 1, 250, MAX_MS, MAX_MS + 1, 25 * DAY_MS, 100 * DAY_MS, 2 ** 32])(
  "a timer of %d ms fires once, and not early",
  (ms) => {
    const fired = vi.fn();
    startTimer(ms, fired);
    vi.advanceTimersByTime(Math.max(0, ms - 1));
    expect(fired).toHaveBeenCalledTimes(ms === 0 ? 1 : 0);
    vi.advanceTimersByTime(1);
    vi.advanceTimersByTime(60 * DAY_MS);
    expect(fired).toHaveBeenCalledTimes(1);
  },
);

it("a timer of infinite length never fires", () => {
  const fired = vi.fn();
  startTimer(Infinity, fired);
  vi.advanceTimersByTime(1000 * DAY_MS);
  expect(fired).not.toHaveBeenCalled();
});

it.each([1, 40])("a timer of %d days that is cancelled never fires", (days) => {
  const fired = vi.fn();
  const timer = startTimer(days * DAY_MS, fired);
  vi.advanceTimersByTime(days * DAY_MS - 1);
  timer.cancel();
  timer.refresh();
  vi.advanceTimersByTime(100 * DAY_MS);
  expect(fired).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});

it.each([1, 40])("a timer of %d days that is refreshed waits its whole time again", (days) => {
  const fired = vi.fn();
  const timer = startTimer(days * DAY_MS, fired);
  vi.advanceTimersByTime(days * DAY_MS - 1);
  timer.refresh();
  vi.advanceTimersByTime(days * DAY_MS - 1);
  expect(fired).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(fired).toHaveBeenCalledTimes(1);
});

it.each([1, 40])("an interval of %d days fires once per interval until it is cancelled", (days) => {
  const fired = vi.fn();
  const timer = startInterval(days * DAY_MS, fired);
  vi.advanceTimersByTime(3 * days * DAY_MS);
  expect(fired).toHaveBeenCalledTimes(3);
  timer.cancel();
  vi.advanceTimersByTime(3 * days * DAY_MS);
  expect(fired).toHaveBeenCalledTimes(3);
});

it("an interval that is cancelled by its own callback ends", () => {
  const timer = startInterval(10, () => timer.cancel());
  vi.advanceTimersByTime(100);
  expect(vi.getTimerCount()).toBe(0);
});

it("a sleep of 30 days resolves after 30 days", async () => {
  const slept = vi.fn();
  const sleeping = sleep(30 * DAY_MS).then(slept);
  await vi.advanceTimersByTimeAsync(30 * DAY_MS - 1);
  expect(slept).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  await sleeping;
  expect(slept).toHaveBeenCalled();
});

it("a sleep whose signal is aborted rejects with the signal's reason and leaves no timer", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const sleeping = sleep(30 * DAY_MS, controller.signal);
  controller.abort(reason);
  await expect(sleeping).rejects.toBe(reason);
  await expect(sleep(1, controller.signal)).rejects.toBe(reason);
  expect(vi.getTimerCount()).toBe(0);
});
