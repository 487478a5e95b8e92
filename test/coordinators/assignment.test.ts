import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assignPartitions } from "../../src/coordinators/redis/assignment.ts";

const members = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 12 });
const partitions = fc.integer({ min: 0, max: 64 });

describe("the assignment of partitions", () => {
  it("gives each to one member, and all members as many, give or take one", () => {
    fc.assert(
      fc.property(members, partitions, (ids, count) => {
        const assigned = assignPartitions(ids, count);
        expect(Array.from(assigned.keys())).toEqual(Array.from({ length: count }, (_, p) => p));
        const shares = ids.map(
          (id) => Array.from(assigned.values()).filter((of) => of === id).length,
        );
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("is the same whoever asks, in whatever order members are known", () => {
    fc.assert(
      fc.property(members, partitions, (ids, count) => {
        expect(assignPartitions(ids.toReversed(), count)).toEqual(assignPartitions(ids, count));
      }),
    );
  });

  it("moves about as few as it has to when somebody comes", () => {
    let moved = 0;
    const ROUNDS = 50;
    for (let round = 0; round < ROUNDS; round++) {
      const ids = ["a", "b", "c"].map((id) => `${id}${round}`);
      const before = assignPartitions(ids, 64);
      const after = assignPartitions([...ids, `d${round}`], 64);
      for (const [partition, member] of before) if (after.get(partition) !== member) moved++;
    }
    // A quarter has to.
    expect(moved / ROUNDS / 64).toBeLessThan(0.4);
  });

  it("gives nothing to nobody", () => {
    expect(assignPartitions([], 8).size).toBe(0);
  });
});
