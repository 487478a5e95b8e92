import { describe } from "vitest";
import type { Json } from "../../src/core/value.ts";
import { op } from "./op-builders.ts";
import { MISSING, type Row, table } from "./reduce-table.ts";

describe("increment and decrement", () => {
  table([
    ["increment adds", { n: 1 }, [op.increment("n", 2)], { n: 3 }],
    ["decrement subtracts", { n: 1 }, [op.decrement("n", 2)], { n: -1 }],
    ["increment by a negative number subtracts", { n: 1 }, [op.increment("n", -2)], { n: -1 }],
    ["increment of a missing key is by", {}, [op.increment("n", 2)], { n: 2 }],
    ["decrement of a missing key is -by", {}, [op.decrement("n", 2)], { n: -2 }],
    ["decrement of a missing key by 0 is 0", {}, [op.decrement("n", 0)], { n: 0 }],
    ["increment of a key of a missing item", MISSING, [op.increment("n", 2)], { n: 2 }],
    ["decrement of a key of a missing item", MISSING, [op.decrement("n", 2)], { n: -2 }],
    ["increment of a missing item at the root is by", MISSING, [op.increment("", 2)], 2],
    ["decrement of a missing item at the root is -by", MISSING, [op.decrement("", 2)], -2],
    ["increment of a number at the root", 5, [op.increment("", 2)], 7],
    ["decrement of a number at the root", 5, [op.decrement("", 2)], 3],
    [
      "a key that every object inherits is missing",
      {},
      [op.increment("valueOf", 1)],
      { valueOf: 1 },
    ],
    ...([null, "1", true, [], {}] as Json[]).flatMap((target): Row[] =>
      (["increment", "decrement"] as const).flatMap((type): Row[] => [
        [
          `${type} of ${JSON.stringify(target)} is refused`,
          { n: target },
          [op[type]("n", 1)],
          { n: target },
          { 0: `${type}.not_number` },
        ],
        [
          `${type} of ${JSON.stringify(target)} at the root is refused`,
          target,
          [op[type]("", 1)],
          target,
          { 0: `${type}.not_number` },
        ],
      ]),
    ),
    ...([null, 1, "s", true, []] as Json[]).flatMap((root): Row[] =>
      (["increment", "decrement"] as const).map((type): Row => [
        `${type} of a key of ${JSON.stringify(root)} is refused`,
        root,
        [op[type]("n", 1)],
        root,
        { 0: `${type}.target_not_object` },
      ]),
    ),
    [
      "the largest integer can be reached",
      { n: Number.MAX_SAFE_INTEGER - 1 },
      [op.increment("n", 1)],
      { n: Number.MAX_SAFE_INTEGER },
    ],
    [
      "the largest integer cannot be passed",
      { n: Number.MAX_SAFE_INTEGER },
      [op.increment("n", 1)],
      { n: Number.MAX_SAFE_INTEGER },
      { 0: "increment.out_of_range" },
    ],
    [
      "the smallest integer can be reached",
      { n: 0 },
      [op.decrement("n", Number.MAX_SAFE_INTEGER)],
      { n: -Number.MAX_SAFE_INTEGER },
    ],
    [
      "the smallest integer cannot be passed",
      { n: -Number.MAX_SAFE_INTEGER },
      [op.decrement("n", 1)],
      { n: -Number.MAX_SAFE_INTEGER },
      { 0: "decrement.out_of_range" },
    ],
    [
      "two large integers are refused",
      { n: Number.MAX_SAFE_INTEGER },
      [op.increment("n", Number.MAX_SAFE_INTEGER)],
      { n: Number.MAX_SAFE_INTEGER },
      { 0: "increment.out_of_range" },
    ],
    [
      "at the root too",
      Number.MAX_SAFE_INTEGER,
      [op.decrement("", -1)],
      Number.MAX_SAFE_INTEGER,
      { 0: "decrement.out_of_range" },
    ],
    [
      "an integer beyond the range is refused",
      { n: 2 ** 60 },
      [op.increment("n", 1)],
      { n: 2 ** 60 },
      { 0: "increment.out_of_range" },
    ],
    [
      "an integer beyond the range comes back exactly",
      { n: 2 ** 53 + 2 },
      [op.decrement("n", 3)],
      { n: Number.MAX_SAFE_INTEGER },
    ],
    [
      "the largest double is refused",
      { n: 1.7976931348623157e308 },
      [op.increment("n", Number.MAX_SAFE_INTEGER)],
      { n: 1.7976931348623157e308 },
      { 0: "increment.out_of_range" },
    ],
    [
      "adding 0 to an integer beyond the range is refused",
      { n: 1e300 },
      [op.increment("n", 0)],
      { n: 1e300 },
      { 0: "increment.out_of_range" },
    ],
    ["a fraction is added as IEEE doubles are", { n: 0.1 }, [op.increment("n", 3)], { n: 3.1 }],
    ["a fraction may lose its small digits", { n: 1e-20 }, [op.increment("n", 1)], { n: 1 }],
    [
      "a fraction may round to beyond the integers",
      { n: 0.5 },
      [op.increment("n", Number.MAX_SAFE_INTEGER)],
      { n: 2 ** 53 },
    ],
  ]);
});
