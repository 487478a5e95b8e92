import { describe } from "vitest";
import type { Json } from "../../src/core/value.ts";
import { op } from "./op-builders.ts";
import { MISSING, type Row, table } from "./reduce-table.ts";

describe("append", () => {
  table([
    ["to an array pushes one element", { a: [1] }, [op.append(["a"], [2])], { a: [1, [2]] }],
    ["to an array pushes a string", { a: [] }, [op.append(["a"], "x")], { a: ["x"] }],
    ["of a string to a string concatenates", { a: "x" }, [op.append(["a"], "y")], { a: "xy" }],
    ["to null of a string becomes the string", { a: null }, [op.append(["a"], "x")], { a: "x" }],
    [
      "to null of anything else becomes an array",
      { a: null },
      [op.append(["a"], { x: 1 })],
      { a: [{ x: 1 }] },
    ],
    ["of null to null becomes an array", { a: null }, [op.append(["a"], null)], { a: [null] }],
    ["to a missing key of a string becomes the string", {}, [op.append(["a"], "x")], { a: "x" }],
    ["to a missing key of anything else becomes an array", {}, [op.append(["a"], 1)], { a: [1] }],
    [
      "to a missing leaf of a longer path becomes an array",
      { a: {} },
      [op.append(["a", "b"], "x")],
      { a: { b: ["x"] } },
    ],
    [
      "to a null leaf of a longer path of a string becomes the string",
      { a: { b: null } },
      [op.append(["a", "b"], "x")],
      { a: { b: "x" } },
    ],
    [
      "to a null leaf of a longer path of anything else becomes an array",
      { a: { b: null } },
      [op.append(["a", "b"], 1)],
      { a: { b: [1] } },
    ],
    [
      "to a string leaf of a longer path concatenates",
      { a: { b: "x" } },
      [op.append(["a", "b"], "y")],
      { a: { b: "xy" } },
    ],
    ["to a missing item at the root of a string", MISSING, [op.append([], "x")], "x"],
    ["to a missing item at the root of anything else", MISSING, [op.append([], 1)], [1]],
    ["to a missing item at a key of a string", MISSING, [op.append(["a"], "x")], { a: "x" }],
    [
      "to a missing item at a longer path",
      MISSING,
      [op.append(["a", "b"], "x")],
      { a: { b: ["x"] } },
    ],
    ["to null at the root of a string", null, [op.append([], "x")], "x"],
    ["to null at the root of anything else", null, [op.append([], false)], [false]],
    ["to an array at the root", [1], [op.append([], 2)], [1, 2]],
    ["to a string at the root", "a", [op.append([], "b")], "ab"],
    ["to a key that every object inherits", {}, [op.append(["toString"], "x")], { toString: "x" }],
    ...([1, true, { x: 1 }] as Json[]).flatMap((target): Row[] =>
      (["s", 1, null] as Json[]).flatMap((value): Row[] => [
        [
          `of ${JSON.stringify(value)} to ${JSON.stringify(target)} is refused`,
          { a: target },
          [op.append(["a"], value)],
          { a: target },
          { 0: "append.type_mismatch" },
        ],
        [
          `of ${JSON.stringify(value)} to ${JSON.stringify(target)} at the root is refused`,
          target,
          [op.append([], value)],
          target,
          { 0: "append.type_mismatch" },
        ],
      ]),
    ),
    ...([1, null, true, {}, []] as Json[]).map((value): Row => [
      `of ${JSON.stringify(value)} to a string is refused`,
      { a: { b: "s" } },
      [op.append(["a", "b"], value)],
      { a: { b: "s" } },
      { 0: "append.type_mismatch" },
    ]),
    ...([null, 1, "s", false, [1]] as Json[]).flatMap((member): Row[] => [
      [
        `replaces an intermediate ${JSON.stringify(member)}`,
        { a: member },
        [op.append(["a", "b"], "x")],
        { a: { b: ["x"] } },
      ],
      [
        `replaces a deeper intermediate ${JSON.stringify(member)}`,
        { a: { b: member, z: 1 } },
        [op.append(["a", "b", "c"], 1)],
        { a: { b: { c: [1] }, z: 1 } },
      ],
      [
        `with a path into ${JSON.stringify(member)} is refused`,
        member,
        [op.append(["a"], 1)],
        member,
        { 0: "append.target_not_object" },
      ],
    ]),
  ]);
});
