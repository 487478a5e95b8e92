import { describe, expect, test } from "vitest";
import { reduce } from "../../src/core/reduce.ts";
import { type Json, Value } from "../../src/core/value.ts";
import { op } from "./op-builders.ts";
import { MISSING, type Row, run, table } from "./reduce-table.ts";

describe("set", () => {
  table([
    ["at the root replaces an object", { a: 1 }, [op.set("", [2])], [2]],
    ["at the root replaces a scalar", 5, [op.set("", { a: 1 })], { a: 1 }],
    ["at the root replaces null", null, [op.set("", 1)], 1],
    ["at the root of a missing item creates it", MISSING, [op.set("", "x")], "x"],
    ["of null at the root stores null", MISSING, [op.set("", null)], null],
    ["at a key replaces that key only", { a: 1, b: 2 }, [op.set("a", [1])], { a: [1], b: 2 }],
    ["at a missing key adds it", {}, [op.set("a", null)], { a: null }],
    ["at a key of a missing item starts from an object", MISSING, [op.set("a", 1)], { a: 1 }],
    [
      "takes a key with dots literally",
      { a: { b: 1 } },
      [op.set("a.b", 2)],
      { a: { b: 1 }, "a.b": 2 },
    ],
    ["at a key that every object inherits adds it", {}, [op.set("toString", 1)], { toString: 1 }],
    ...([null, 1, "s", true, []] as Json[]).map((root): Row => [
      `at a key of ${JSON.stringify(root)} is refused`,
      root,
      [op.set("a", 1)],
      root,
      { 0: "set.target_not_object" },
    ]),
  ]);
});

describe("remove", () => {
  table([
    ["takes a key away", { a: 1, b: 2 }, [op.remove("a")], { b: 2 }],
    ["of a missing key succeeds", { a: 1 }, [op.remove("b")], { a: 1 }],
    ["of a key that every object inherits succeeds", {}, [op.remove("toString")], {}],
    ["at the root turns the item into null", { a: 1 }, [op.remove("")], null],
    ["at the root of a missing item stores null", MISSING, [op.remove("")], null],
    [
      "of a key of a missing item makes it an object",
      MISSING,
      [op.remove("a"), op.increment("", 1)],
      {},
      { 1: "increment.not_number" },
    ],
    ...([null, 1, "s", true, [1]] as Json[]).map((root): Row => [
      `of a key of ${JSON.stringify(root)} is refused`,
      root,
      [op.remove("0")],
      root,
      { 0: "remove.target_not_object" },
    ]),
  ]);
});

describe("the order of steps", () => {
  table([
    ["no steps keep the value", { a: [1] }, [], { a: [1] }],
    ["no steps keep null", null, [], null],
    ["no steps make an empty object of a missing item", MISSING, [], {}],
    [
      "each step sees those before it",
      MISSING,
      [
        op.set("", { n: 1 }),
        op.increment("n", 1),
        op.append(["l"], 0),
        op.append(["l"], 1),
        op.remove("n"),
      ],
      { l: [0, 1] },
    ],
    [
      "a failed step is skipped and later ones run",
      { s: "x" },
      [op.increment("s", 1), op.set("a", 1), op.append(["s"], 1), op.set("b", 2)],
      { s: "x", a: 1, b: 2 },
      { 0: "increment.not_number", 2: "append.type_mismatch" },
    ],
    [
      "an item counts as missing until a step succeeds",
      MISSING,
      [op.set("constructor", 1), op.increment("", 3)],
      3,
      { 0: "set.path.proto_polluted" },
    ],
    [
      "a missing item of which every step fails becomes an empty object",
      MISSING,
      [op.merge([], 1)],
      {},
      { 0: "merge.value.not_an_object" },
    ],
    [
      "an item that became null is not missing",
      MISSING,
      [op.remove(""), op.merge([], { a: 1 }), op.append([], 1)],
      [1],
      { 1: "merge.target_not_object" },
    ],
    [
      "one value set twice is not shared",
      MISSING,
      [op.set("a", [1]), op.set("b", [1]), op.append(["a"], 2)],
      { a: [1, 2], b: [1] },
    ],
  ]);
});

test("errors have the step, the code and the reason, in the order of steps", () => {
  const { result } = run({ s: "x" }, [
    op.remove("__proto__"),
    op.set("a", 1),
    op.increment("s", 1),
  ]);
  expect(result.errors).toStrictEqual([
    {
      opIndex: 0,
      code: "remove.path.proto_polluted",
      message:
        'Path "__proto__": the path has the key __proto__; it may have any other than __proto__, constructor, prototype.',
    },
    {
      opIndex: 2,
      code: "increment.not_number",
      message: 'Path "s": the target is a string; it may be a number or missing.',
    },
  ]);
});

test.each([
  [op.increment("", 1), "The root: the target is a string; "],
  [op.merge([], { a: 1 }), "The root: the item's value is a string; "],
  [op.append(["a", "b"], 1), 'Path ["a","b"]: the item\'s value is a string; '],
  [op.merge([], 1), "The root: the value is not an object; "],
  [op.set("k".repeat(400), 1), `Path "${"k".repeat(299)}...: the path has a key of more than `],
])("an error names the path of its step: %j", (step, beginning) => {
  const [error] = run("text", [step]).result.errors;
  expect(error?.message.slice(0, beginning.length)).toBe(beginning);
});

test("neither the current value nor the steps change", () => {
  const current = Value.of({ a: [1], o: { x: 1 } });
  const steps = [
    op.append(["a"], [2]),
    op.merge(["o"], { y: [3] }),
    op.append(["o", "y"], 4),
    op.remove("a"),
  ];
  const before = JSON.stringify([current.text, steps]);
  const first = reduce(current, steps).value.text;
  expect(JSON.stringify([current.text, steps])).toBe(before);
  expect(reduce(current, steps).value.text).toBe(first);
});

test("Object.prototype stays clean whatever the keys are", () => {
  const hostile = JSON.parse('{"__proto__":{"polluted":1}}') as Json;
  run({}, [
    op.merge([], hostile),
    op.merge(["__proto__"], { polluted: 1 }),
    op.append(["constructor", "prototype", "polluted"], 1),
    op.set("__proto__", { polluted: 1 }),
  ]);
  expect("polluted" in {}).toBe(false);
});
