import { describe, expect, it } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import { RecentEnds } from "../../src/triggers/recent-ends.ts";

const ENDED = new StreamError("SUBSCRIPTION_ENDED", "The subscription was ended.");

describe("recent ends", () => {
  it("hold for a minute, for the subscriptions that match", () => {
    let nowMs = 0;
    const ends = new RecentEnds<string>(() => nowMs);
    ends.add((name) => name.startsWith("a"), ENDED);
    nowMs = 30_000;
    ends.add((name) => name.startsWith("b"), ENDED);
    expect([ends.endOf("ann"), ends.endOf("bob"), ends.endOf("cy")]).toEqual([
      ENDED,
      ENDED,
      undefined,
    ]);
    nowMs = 60_000;
    expect([ends.endOf("ann"), ends.endOf("bob")]).toEqual([undefined, ENDED]);
    nowMs = 90_000;
    expect(ends.endOf("bob")).toBeUndefined();
  });

  it("are at most 10,000: the oldest no longer hold", () => {
    const ends = new RecentEnds<number>(() => 0);
    for (let i = 0; i <= 10_000; i++) ends.add((given) => given === i, ENDED);
    expect([ends.endOf(0), ends.endOf(1), ends.endOf(10_000)]).toEqual([undefined, ENDED, ENDED]);
  });
});
