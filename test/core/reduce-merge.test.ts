import { describe } from "vitest";
import type { Json } from "../../src/core/value.ts";
import { op } from "./op-builders.ts";
import { MISSING, type Row, keys, nested, table } from "./reduce-table.ts";

describe("merge", () => {
  table([
    [
      "replaces same-named keys and keeps siblings",
      { a: 1, b: 2 },
      [op.merge([], { b: 3, c: 4 })],
      { a: 1, b: 3, c: 4 },
    ],
    ["is shallow", { a: { x: 1 } }, [op.merge([], { a: { y: 2 } })], { a: { y: 2 } }],
    ["stores null members", { a: 1 }, [op.merge([], { a: null })], { a: null }],
    ["at the root of a missing item creates it", MISSING, [op.merge([], { a: 1 })], { a: 1 }],
    ["of an empty object changes nothing", { a: 1 }, [op.merge([], {})], { a: 1 }],
    [
      "of an empty object makes an item",
      MISSING,
      [op.merge([], {}), op.increment("", 1)],
      {},
      { 1: "increment.not_number" },
    ],
    ...([null, 1, "s", true, [], [1]] as Json[]).flatMap((root): Row[] => [
      [
        `at the root of ${JSON.stringify(root)} is refused`,
        root,
        [op.merge([], { a: 1 })],
        root,
        { 0: "merge.target_not_object" },
      ],
      [
        `with a path into ${JSON.stringify(root)} is refused`,
        root,
        [op.merge(["a"], { b: 1 })],
        root,
        { 0: "merge.target_not_object" },
      ],
    ]),
    [
      "walks an array of keys",
      { a: { b: { x: 1 } } },
      [op.merge(["a", "b"], { y: 2 })],
      { a: { b: { x: 1, y: 2 } } },
    ],
    ["takes a key with dots literally", {}, [op.merge(["a.b"], { x: 1 })], { "a.b": { x: 1 } }],
    [
      "makes missing intermediates and target",
      { z: 1 },
      [op.merge(["a", "b", "c"], { x: 1 })],
      { z: 1, a: { b: { c: { x: 1 } } } },
    ],
    [
      "makes intermediates of a missing item",
      MISSING,
      [op.merge(["a", "b"], {})],
      { a: { b: {} } },
    ],
    ...([null, 1, "s", false, [{ b: 1 }]] as Json[]).flatMap((member): Row[] => [
      [
        `replaces an intermediate ${JSON.stringify(member)}`,
        { a: member },
        [op.merge(["a", "b"], { x: 1 })],
        { a: { b: { x: 1 } } },
      ],
      [
        `replaces a target ${JSON.stringify(member)}`,
        { a: member },
        [op.merge(["a"], { x: 1 })],
        { a: { x: 1 } },
      ],
    ]),
    [
      "does not address array elements",
      { a: [{ b: 1 }] },
      [op.merge(["a", "0"], { c: 1 })],
      { a: { "0": { c: 1 } } },
    ],
    [
      "walks keys that every object inherits as missing",
      {},
      [op.merge(["toString", "hasOwnProperty"], { valueOf: 1 })],
      { toString: { hasOwnProperty: { valueOf: 1 } } },
    ],
  ]);
});

describe("limits of a merge value", () => {
  const wide = (count: number) => Object.fromEntries(keys(count).map((key) => [key, 0]));
  const polluted = (text: string) => JSON.parse(text) as Json;
  table([
    ...([null, 1, "s", true, [], [{}]] as Json[]).map((value): Row => [
      `${JSON.stringify(value)} is not an object`,
      {},
      [op.merge([], value)],
      {},
      { 0: "merge.value.not_an_object" },
    ]),
    ["1,024 keys are fine", {}, [op.merge([], wide(1024))], wide(1024)],
    [
      "1,025 keys are too many",
      {},
      [op.merge([], wide(1025))],
      {},
      { 0: "merge.value.too_many_keys" },
    ],
    [
      "too many keys come before a forbidden one",
      {},
      [op.merge([], { ...wide(1025), constructor: 1 })],
      {},
      { 0: "merge.value.too_many_keys" },
    ],
    [
      "a top-level key __proto__ is refused",
      {},
      [op.merge([], polluted('{"a":1,"__proto__":{"b":1}}'))],
      {},
      { 0: "merge.value.proto_polluted" },
    ],
    [
      "a top-level key constructor is refused",
      {},
      [op.merge([], { constructor: 1 })],
      {},
      { 0: "merge.value.proto_polluted" },
    ],
    [
      "a top-level key prototype is refused",
      {},
      [op.merge([], { prototype: 1 })],
      {},
      { 0: "merge.value.proto_polluted" },
    ],
    [
      "a nested key constructor is data",
      {},
      [op.merge([], { a: { constructor: 1 } })],
      { a: { constructor: 1 } },
    ],
    ["16 levels are fine", {}, [op.merge([], nested(16, 1))], nested(16, 1)],
    [
      "17 levels are too deep",
      {},
      [op.merge([], nested(17, 1))],
      {},
      { 0: "merge.value.too_deep" },
    ],
    [
      "an empty object is a level",
      {},
      [op.merge([], nested(16, {}))],
      {},
      { 0: "merge.value.too_deep" },
    ],
    ["an array is a level", {}, [op.merge([], nested(16, []))], {}, { 0: "merge.value.too_deep" }],
    [
      "a forbidden key comes before depth",
      {},
      [op.merge([], { constructor: nested(16, 1) })],
      {},
      { 0: "merge.value.proto_polluted" },
    ],
    [
      "the value is checked before the target",
      1,
      [op.merge([], [])],
      1,
      { 0: "merge.value.not_an_object" },
    ],
    [
      "a path counts apart from the value's levels",
      {},
      [op.merge(keys(3), nested(16, 1))],
      { k0: { k1: { k2: nested(16, 1) } } },
    ],
  ]);
});
