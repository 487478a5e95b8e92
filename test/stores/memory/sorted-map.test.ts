import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SortedMap } from "../../../src/stores/memory/sorted-map.ts";

const byNumber = (a: number, b: number) => a - b;

describe("a sorted map", () => {
  it("agrees with a sorted array under random changes", () => {
    const change = fc.record({ kind: fc.constantFrom("set", "set", "delete"), key: fc.nat(60) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 200 }), fc.nat(60), (changes, after) => {
        const map = new SortedMap<number, number>(byNumber);
        const model = new Map<number, number>();
        for (const [value, { kind, key }] of changes.entries()) {
          if (kind === "set") {
            map.set(key, value);
            model.set(key, value);
          } else {
            expect(map.delete(key)).toBe(model.delete(key));
          }
        }
        const sorted = Array.from(model).toSorted(([a], [b]) => a - b);
        expect(map.size).toBe(model.size);
        expect(map.first()).toEqual(sorted[0]);
        expect(Array.from(map.entries())).toEqual(sorted);
        expect(Array.from(map.entries(after))).toEqual(sorted.filter(([key]) => key > after));
        const reversed = sorted.toReversed();
        expect(Array.from(map.reversed())).toEqual(reversed);
        expect(Array.from(map.reversed(after))).toEqual(reversed.filter(([key]) => key < after));
      }),
    );
  });

  it.each([
    ["growing", (i: number) => i],
    ["falling", (i: number) => 5000 - i],
    ["scattered", (i: number) => (i * 7919) % 5003],
  ])("stays in order over many chunks with %s keys", (_, keyOf) => {
    const map = new SortedMap<number, string>(byNumber);
    const keys = Array.from({ length: 5000 }, (_unused, i) => keyOf(i));
    for (const key of keys) map.set(key, `v${key}`);
    const sorted = keys.toSorted(byNumber);
    expect(Array.from(map.entries(), ([key]) => key)).toEqual(sorted);
    expect(map.entries(sorted[2500]).next().value).toEqual([sorted[2501], `v${sorted[2501]}`]);
    expect(Array.from(map.reversed(), ([key]) => key)).toEqual(sorted.toReversed());
    expect(map.reversed(sorted[2500]).next().value).toEqual([sorted[2499], `v${sorted[2499]}`]);
    for (const key of keys.slice(0, 4000)) map.delete(key);
    const left = keys.slice(4000).toSorted(byNumber);
    expect(Array.from(map.entries(), ([key]) => key)).toEqual(left);
    for (const key of left) map.delete(key);
    expect(map.size).toBe(0);
    expect(map.first()).toBeUndefined();
    expect(Array.from(map.entries(3))).toEqual([]);
    expect(Array.from(map.reversed(3))).toEqual([]);
  });
});
