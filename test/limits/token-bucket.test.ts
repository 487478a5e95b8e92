import { describe, expect, it } from "vitest";
import { TokenBucket } from "../../src/limits/token-bucket.ts";

describe("a token bucket", () => {
  it("provides a burst at once, then its rate per second", () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 3 }, 0);
    expect([1, 2, 3].map(() => bucket.take(0))).toEqual([0, 0, 0]);
    expect(bucket.take(0)).toBe(100);
    expect(bucket.take(60)).toBe(40);
    expect(bucket.take(100)).toBe(0);
    expect(bucket.take(100)).toBe(100);
  });

  it("never holds more than a burst", () => {
    const bucket = new TokenBucket({ perSecond: 1000, burst: 2 }, 0);
    const taken = [1, 2, 3].map(() => bucket.take(3_600_000));
    expect(taken).toEqual([0, 0, 1]);
  });

  it("takes nothing for a refusal, so retries are not delayed further", () => {
    const bucket = new TokenBucket({ perSecond: 1, burst: 1 }, 0);
    bucket.take(0);
    for (let ms = 1; ms < 1000; ms++) expect(bucket.take(ms)).toBeGreaterThan(0);
    expect(bucket.take(1000)).toBe(0);
  });
});
