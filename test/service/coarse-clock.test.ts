import { expect, test } from "vitest";
import { turnClock } from "../../src/service/coarse-clock.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a turn clock stands still within a turn of the event loop, and is exact at its first use in the next", async () => {
  let nowMs = 1;
  const clock = turnClock(() => nowMs);
  expect(clock()).toBe(1);
  nowMs = 2;
  expect(clock()).toBe(1);
  await Promise.resolve();
  expect(clock()).toBe(1);
  await turn();
  expect(clock()).toBe(2);
});
