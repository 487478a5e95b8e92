import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assignPartitions } from "../../../src/coordinators/redis/assignment.ts";

const members = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 12 });
const partitions = fc.integer({ min: 0, max: 64 });

describe("assignPartitions", () => {
  it("assigns each partition to one member, and member counts differ by at most one", () => {
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

  it("depends on the set of members only, not on their order", () => {
    fc.assert(
      fc.property(members, partitions, (ids, count) => {
        expect(assignPartitions(ids.toReversed(), count)).toEqual(assignPartitions(ids, count));
      }),
    );
  });

  it("moves few partitions beyond the minimum when a member joins", () => {
    let moved = 0;
    const ROUNDS = 50;
    for (let round = 0; round < ROUNDS; round++) {
      const ids = ["a", "b", "c"].map((id) => `${id}${round}`);
      const before = assignPartitions(ids, 64);
      const after = assignPartitions([...ids, `d${round}`], 64);
      for (const [partition, member] of before) if (after.get(partition) !== member) moved++;
    }
    // The minimum is a quarter.
    expect(moved / ROUNDS / 64).toBeLessThan(0.4);
  });

  it("assigns nothing without members", () => {
    expect(assignPartitions([], 8).size).toBe(0);
  });
});
