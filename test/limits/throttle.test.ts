import { describe, expect, it } from "vitest";
import { RateScope, Throttle } from "../../src/limits/throttle.ts";

const nowMs = performance.now();
/** A rate whose bucket gains nothing during a test. */
const rate = (burst: number) => ({ perSecond: 0.001, burst });

describe("a throttle", () => {
  it("takes no call for a subscription that it refuses", () => {
    const throttle = new Throttle([new RateScope(rate(3), nowMs, rate(1))]);
    throttle.subscribe();
    for (let i = 0; i < 10; i++)
      expect(() => throttle.subscribe()).toThrow("Subscriptions come too fast");
    throttle.call();
    throttle.call();
    expect(() => throttle.call()).toThrow("Calls come too fast");
  });

  it("takes nothing from one scope when another refuses", () => {
    const address = new RateScope(rate(3), nowMs);
    const throttle = new Throttle([new RateScope(rate(1), nowMs), address]);
    throttle.call();
    for (let i = 0; i < 10; i++) expect(throttle.frame()).toBe(false);
    const other = new Throttle([address]);
    expect([other.frame(), other.frame(), other.frame()]).toEqual([true, true, false]);
  });
});
