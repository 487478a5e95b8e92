import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecentMap } from "../../src/core/recent-map.ts";

interface Entry {
  readonly name: string;
  readonly weight: number;
}

const entry = (name: string, weight = 1): Entry => ({ name, weight });

describe("RecentMap", () => {
  it("keeps the last entries set, at least half of its weight, and forgets older ones", () => {
    const map = new RecentMap<number, Entry>(10);
    for (let i = 0; i < 100; i++) map.set(i, entry(String(i)));
    for (let i = 95; i < 100; i++) expect(map.get(i)).toEqual(entry(String(i)));
    expect(map.get(89)).toBeUndefined();
  });

  it("keeps entries that are read, however many others are set", () => {
    const map = new RecentMap<number, Entry>(10);
    map.set(-1, entry("kept"));
    for (let i = 0; i < 100; i++) {
      map.set(i, entry(String(i)));
      expect(map.get(-1)).toEqual(entry("kept"));
    }
  });

  it("counts the weight of entries", () => {
    const map = new RecentMap<string, Entry>(100, ({ weight }) => weight);
    map.set("heavy", entry("heavy", 40));
    map.set("also", entry("also", 40));
    expect(map.get("heavy")).toBeDefined();
    map.set("third", entry("third", 40));
    expect(map.get("also")).toBeUndefined();
  });

  it("returns a key's last value or nothing, and never exceeds its weight", () => {
    const key = fc.integer({ min: 0, max: 12 });
    const step = fc.oneof(
      fc.record({ do: fc.constant("set" as const), key, weight: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ do: fc.constant("get" as const), key }),
      fc.record({ do: fc.constant("delete" as const), key }),
    );
    const MOST = 20;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const map = new RecentMap<number, Entry>(MOST, ({ weight }) => weight);
        const truth = new Map<number, Entry>();
        steps.forEach((each, i) => {
          if (each.do === "set") {
            const value = entry(String(i), each.weight);
            map.set(each.key, value);
            truth.set(each.key, value);
            expect(map.get(each.key)).toBe(value);
          } else if (each.do === "delete") {
            map.delete(each.key);
            truth.delete(each.key);
            expect(map.get(each.key)).toBeUndefined();
          } else {
            const found = map.get(each.key);
            if (found !== undefined) expect(found).toBe(truth.get(each.key));
          }
        });
        let weight = 0;
        for (const each of truth.keys()) weight += map.get(each)?.weight ?? 0;
        expect(weight).toBeLessThanOrEqual(MOST);
      }),
    );
  });
});
