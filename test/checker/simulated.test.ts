import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  check,
  type CheckOptions,
  describeViolations,
  type Guarantee,
} from "../support/checker/index.ts";
import { MUTATIONS } from "./mutations.ts";
import { createRandom } from "./random.ts";
import type { Bug } from "./simulated-server.ts";
import { type Scenario, simulate } from "./simulation.ts";

describe("the checker, on simulated histories", () => {
  test("finds nothing in a correct server", () => {
    const scenario = fc.record({
      seed: fc.nat(),
      steps: fc.constantFrom(20, 200, 600),
      observed: fc.boolean(),
      volatile: fc.boolean(),
      honoured: fc.constantFrom(0, 0.7, 1),
    });
    fc.assert(
      fc.property(scenario, (settings) => {
        const options: CheckOptions = {
          durable: !settings.volatile,
          expectResume: settings.honoured === 1,
        };
        const violations = check(simulate(settings), options);
        expect(describeViolations(violations)).toBe(describeViolations([]));
      }),
      { numRuns: 40 },
    );
  });

  test.for(MUTATIONS.map((mutation) => [mutation.name, mutation] as const))(
    "catches a mistake in a history: %s",
    ([, mutation]) => {
      fc.assert(
        fc.property(fc.nat(), (seed) => {
          const good = simulate({ seed, untagged: false });
          const bad = mutation.mutate(good, createRandom(seed));
          // Not every history has a place for every mistake: if not, another history is used.
          fc.pre(bad !== undefined);
          const violations = check(bad);
          const named = violations.some(({ guarantee }) => mutation.breaks.includes(guarantee));
          const description = describeViolations(violations);
          expect({ named, description }).toEqual({ named: true, description });
        }),
        { numRuns: 8 },
      );
    },
  );
});

/** A bug of a server: the guarantee that it breaks, and a scenario that is certain to show it. */
const BUGS: readonly (readonly [Bug, Guarantee, Partial<Scenario>])[] = [
  ["event before commit", "G1", {}],
  ["skipped revision", "G3", {}],
  ["lost frame", "G3", {}],
  ["repeat after resume", "G3", { honoured: 1 }],
  ["stale snapshot", "G10", { honoured: 0 }],
  ["wrong snapshot", "G3", { honoured: 0 }],
  ["early heartbeat", "G5", {}],
  ["stale base", "G3", {}],
  ["wrong steps", "G2", {}],
];

describe("the checker, on a server with a planted bug", () => {
  test.for(BUGS)("catches: %s (%s)", ([bug, guarantee, scenario]) => {
    for (let seed = 1; seed <= 4; seed++) {
      const violations = check(simulate({ seed, steps: 1000, ...scenario, bug }));
      const named = violations.map((violation) => violation.guarantee);
      expect({ seed, named }).toEqual({ seed, named: expect.arrayContaining([guarantee]) });
    }
  });
});
