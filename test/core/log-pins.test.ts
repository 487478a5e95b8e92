import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_PINS, NO_PINS, pinsFrom, storedFrom, withPin } from "../../src/core/log-pins.ts";

describe("the pins of a log", () => {
  it("keep every base that an entry of the log needs, and at most two windows of others", () => {
    const steps = fc.array(
      // How far back the base of a new entry is, as a share of the log; undefined: it has none.
      fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined, freq: 4 }),
      { minLength: 1, maxLength: 200 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), steps, (window, bases) => {
        let pins = NO_PINS;
        const needs: number[] = [0];
        for (const share of bases) {
          const revision = needs.length;
          const start = Math.max(1, revision - window);
          const base =
            share === undefined ? revision : start + Math.floor(share * (revision - start));
          needs.push(base);
          if (base < revision) pins = withPin(pins, base, revision);
          const logStart = Math.max(1, revision - window + 1);
          pins = pinsFrom(pins, logStart);
          const from = storedFrom(pins, logStart);
          const needed = Math.min(...needs.slice(logStart));
          expect(from).toBeLessThanOrEqual(needed);
          expect(from).toBeGreaterThanOrEqual(logStart - 2 * window);
          expect(pins.length).toBeLessThanOrEqual(MAX_PINS);
        }
        expect(storedFrom(pinsFrom(pins, needs.length), needs.length)).toBe(needs.length);
      }),
      { numRuns: 500 },
    );
  });

  it("are exact for one item", () => {
    let pins = withPin(NO_PINS, 1, 2);
    pins = withPin(withPin(pins, 1, 3), 4, 5);
    expect(pins).toEqual([
      { from: 1, to: 3 },
      { from: 4, to: 5 },
    ]);
    expect([3, 4, 5, 6].map((start) => storedFrom(pinsFrom(pins, start), start))).toEqual([
      1, 4, 4, 6,
    ]);
  });
});
