import { describe, expect, it } from "vitest";
import { Latencies, isNoisy, median, pairRatios, spread } from "../../bench/lib/arithmetic.mjs";

describe("median", () => {
  it("is the middle one, or the mean of the two in the middle", () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([7])).toBe(7);
  });

  it("of nothing is no number", () => {
    expect(median([])).toBeNaN();
  });
});

describe("spread", () => {
  it("is how far the outermost lie apart, as a part of the median", () => {
    expect(spread([90, 100, 115])).toBeCloseTo(0.25);
    expect(spread([4, 4, 4])).toBe(0);
  });

  it("beyond 20 % is noisy", () => {
    expect(isNoisy([95, 100, 115])).toBe(false);
    expect(isNoisy([94, 100, 115])).toBe(true);
  });

  it("of one value says nothing, and of what is no number is noisy", () => {
    expect(isNoisy([1])).toBe(false);
    expect(isNoisy([1, Number.NaN])).toBe(true);
  });
});

describe("pairRatios", () => {
  it("divides round by round", () => {
    expect(pairRatios([10, 30], [20, 10])).toEqual([0.5, 3]);
  });

  it("takes nothing but pairs", () => {
    expect(() => pairRatios([1, 2], [1])).toThrow("2 and 1 rounds make no pairs");
    expect(() => pairRatios([], [])).toThrow("no pairs");
  });
});

describe("Latencies", () => {
  it("knows quantiles within two percent", () => {
    const latencies = new Latencies();
    for (let i = 1; i <= 1000; i++) latencies.add(i / 10);
    expect(latencies.count).toBe(1000);
    for (const part of [0.5, 0.9, 0.99, 1]) {
      const relative = latencies.quantile(part) / (part * 100);
      expect(relative).toBeGreaterThan(0.98);
      expect(relative).toBeLessThan(1.02);
    }
  });

  it("takes times of nothing, and many at once", () => {
    const latencies = new Latencies();
    latencies.add(0, 99);
    latencies.add(5);
    expect(latencies.quantile(0.5)).toBeLessThan(0.002);
    expect(latencies.quantile(1)).toBeGreaterThan(4.9);
  });

  it("of nothing are no numbers", () => {
    expect(new Latencies().quantile(0.5)).toBeNaN();
  });
});
