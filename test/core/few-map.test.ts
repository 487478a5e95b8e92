import fc from "fast-check";
import { expect, test } from "vitest";
import { FewMap } from "../../src/core/few-map.ts";

const steps = fc.array(
  fc.tuple(fc.constantFrom("set", "delete", "clear"), fc.constantFrom("a", "b", "c"), fc.nat()),
);

test("behaves as a Map under random operations", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const few = new FewMap<string, number | undefined>();
      const map = new Map<string, number | undefined>();
      for (const [step, key, number] of all) {
        const value = number % 2 === 0 ? undefined : number;
        if (step === "set") {
          few.set(key, value);
          map.set(key, value);
        } else if (step === "delete") expect(few.delete(key)).toBe(map.delete(key));
        else {
          few.clear();
          map.clear();
        }
        expect(few.size).toBe(map.size);
        for (const name of ["a", "b", "c"]) {
          expect(few.has(name)).toBe(map.has(name));
          expect(few.get(name)).toBe(map.get(name));
        }
        expect(Array.from(few.keys())).toEqual(Array.from(map.keys()));
        expect(Array.from(few.values())).toEqual(Array.from(map.values()));
        expect(Array.from(few)).toEqual(Array.from(map));
      }
    }),
    { seed: 11, numRuns: 500 },
  );
});
