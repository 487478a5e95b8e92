import { describe, expect, test } from "vitest";
import { ORIGIN, type Position, isResumable, samePosition } from "../../src/core/position.ts";

const at = (epoch: string, revision: number): Position => ({ epoch, revision });

describe("a position is resumable (G4)", () => {
  /** Title, position of the caller, head of the group, oldest revision in the log, result. */
  const rows: [string, Position, Position, number, boolean][] = [
    ["at the head", at("e", 5), at("e", 5), 1, true],
    ["behind the head, with a whole log", at("e", 2), at("e", 5), 1, true],
    ["just before the log's first change", at("e", 2), at("e", 5), 3, true],
    ["a change before that", at("e", 1), at("e", 5), 3, false],
    ["at the head of an empty log", at("e", 5), at("e", 5), 6, true],
    ["behind the head of an empty log", at("e", 4), at("e", 5), 6, false],
    ["ahead of the group", at("e", 6), at("e", 5), 1, false],
    ["in another epoch", at("x", 5), at("e", 5), 1, false],
    ["in another epoch, behind", at("x", 2), at("e", 5), 1, false],
    ["at revision 0 of the epoch, with a whole log", at("e", 0), at("e", 5), 1, true],
    ["at revision 0 of another epoch", at("x", 0), at("e", 5), 1, false],
    ["at the origin, with a whole log", ORIGIN, at("e", 5), 1, true],
    ["at the origin, with a log that lost its first change", ORIGIN, at("e", 5), 2, false],
    ["at the origin, with an empty log", ORIGIN, at("e", 5), 6, false],
    ["at the origin of a group never written", ORIGIN, ORIGIN, 1, true],
    ["in an epoch, of a group never written", at("e", 5), ORIGIN, 1, false],
    ["at revision 0 of an epoch, of a group never written", at("e", 0), ORIGIN, 1, false],
    ["without an epoch but with a revision", at("", 5), at("e", 5), 1, false],
    ["without an epoch, of a group never written", at("", 1), ORIGIN, 1, false],
    ["below 0", at("e", -1), at("e", 5), 1, false],
    ["not a number", at("e", Number.NaN), at("e", 5), 1, false],
  ];
  test.each(rows)("%s", (_title, from, head, logStart, answer) => {
    expect(isResumable(from, head, logStart)).toBe(answer);
  });
});

test.each([
  [at("e", 1), at("e", 1), true],
  [at("e", 1), at("e", 2), false],
  [at("e", 1), at("x", 1), false],
  [ORIGIN, at("", 0), true],
])("%j and %j are equal: %s", (a, b, same) => {
  expect(samePosition(a, b)).toBe(same);
  expect(samePosition(b, a)).toBe(same);
});

test("the origin is immutable", () => {
  expect(Object.isFrozen(ORIGIN)).toBe(true);
});
