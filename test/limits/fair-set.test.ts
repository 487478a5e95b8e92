import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FairSet } from "../../src/limits/fair-set.ts";

describe("a fair set", () => {
  it("displaces the oldest member of the owner that has the most", () => {
    const set = new FairSet<{ name: string }>(4);
    const [a1, a2, b1, a3] = ["a1", "a2", "b1", "a3"].map((name) => ({ name }));
    for (const member of [a1, a2, b1, a3])
      set.add(member?.name[0] ?? "", member as { name: string });
    expect(set.add("b", { name: "b2" })).toBe(a1);
    expect(set.add("a", { name: "a4" })).toBe(a2);
    expect(set.size).toBe(4);
  });

  it("behaves like a linear search for any adds and deletes", () => {
    const step = fc.record({ owner: fc.constantFrom("a", "b", "c", "d"), isRemoval: fc.boolean() });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.array(step, { maxLength: 100 }),
        (max, steps) => {
          const set = new FairSet<{ owner: string }>(max);
          let model: { owner: string }[] = [];
          const countOf = (owner: string) =>
            model.filter((member) => member.owner === owner).length;
          for (const { owner, isRemoval } of steps) {
            if (isRemoval) {
              const member = model.find((each) => each.owner === owner);
              if (member === undefined) continue;
              expect(set.delete(member)).toBe(true);
              model = model.filter((each) => each !== member);
            } else {
              const most = Math.max(...model.map((member) => countOf(member.owner)));
              const member = { owner };
              const displaced = set.add(owner, member);
              expect(displaced === undefined).toBe(model.length < max);
              if (displaced !== undefined) {
                expect(countOf(displaced.owner)).toBe(most);
                expect(model.find((each) => each.owner === displaced.owner)).toBe(displaced);
                model = model.filter((each) => each !== displaced);
              }
              model.push(member);
            }
            expect(set.size).toBe(model.length);
          }
        },
      ),
    );
  });
});
