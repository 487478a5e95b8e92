import { describe, expect, test } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { UpdateOp } from "../../src/core/ops.ts";
import { type Json, Value } from "../../src/core/value.ts";
import { op } from "./op-builders.ts";
import { type Row, keys, nested, run, table } from "./reduce-table.ts";

describe("limits of a path", () => {
  const longKey = "é".repeat(128);
  const tooLong = `${longKey}x`;
  const all = (key: string, code: string): Row[] => [
    [`set: ${code}`, { z: 1 }, [op.set(key, 1)], { z: 1 }, { 0: `set.path.${code}` }],
    [`merge: ${code}`, { z: 1 }, [op.merge([key], {})], { z: 1 }, { 0: `merge.path.${code}` }],
    [
      `increment: ${code}`,
      { z: 1 },
      [op.increment(key, 1)],
      { z: 1 },
      { 0: `increment.path.${code}` },
    ],
    [
      `decrement: ${code}`,
      { z: 1 },
      [op.decrement(key, 1)],
      { z: 1 },
      { 0: `decrement.path.${code}` },
    ],
    [`append: ${code}`, { z: 1 }, [op.append([key], 1)], { z: 1 }, { 0: `append.path.${code}` }],
    [`remove: ${code}`, { z: 1 }, [op.remove(key)], { z: 1 }, { 0: `remove.path.${code}` }],
  ];
  table([
    ...all(tooLong, "segment_too_long"),
    ...all("__proto__", "proto_polluted"),
    ...all("constructor", "proto_polluted"),
    ...all("prototype", "proto_polluted"),
    ["a key of 256 bytes is fine", {}, [op.set(longKey, 1)], { [longKey]: 1 }],
    [
      "a path of 33 keys is too deep, whatever they are",
      {},
      [op.merge(Array<string>(33).fill(""), 1)],
      {},
      { 0: "merge.path.too_deep" },
    ],
    [
      "a path of 33 keys is too deep for append",
      {},
      [op.append(keys(33), 1)],
      {},
      { 0: "append.path.too_deep" },
    ],
    [
      "an array with one empty key is not the root",
      {},
      [op.merge([""], {}), op.append([""], 1)],
      {},
      { 0: "merge.path.empty_segment", 1: "append.path.empty_segment" },
    ],
    [
      "an empty key in the middle",
      { a: {} },
      [op.append(["a", "", "b"], 1)],
      { a: {} },
      { 0: "append.path.empty_segment" },
    ],
    [
      "the first bad key decides: too long before empty",
      {},
      [op.merge([tooLong, ""], {})],
      {},
      { 0: "merge.path.segment_too_long" },
    ],
    [
      "the first bad key decides: forbidden before too long",
      {},
      [op.merge(["constructor", tooLong], {})],
      {},
      { 0: "merge.path.proto_polluted" },
    ],
    [
      "the path is checked before the merge value",
      {},
      [op.merge(["__proto__"], 1)],
      {},
      { 0: "merge.path.proto_polluted" },
    ],
    [
      "the path is checked before the target",
      1,
      [op.set("__proto__", 1)],
      1,
      { 0: "set.path.proto_polluted" },
    ],
  ]);

  test("a path of 32 keys is walked", () => {
    const path = Array<string>(32).fill("a");
    const ops = [op.append(path, 1), op.remove("a"), op.set("b", 1)];
    expect(run({}, ops)).toMatchObject({ value: { b: 1 }, codes: {} });
  });
});

describe("limits of the result", () => {
  const tryReduce = (current: Json, ops: UpdateOp[]) => {
    try {
      return run(current, ops);
    } catch (error) {
      return error instanceof StreamError ? error.reason : error;
    }
  };

  test("a result of 30 levels is stored, one of 31 fails the whole call", () => {
    expect(tryReduce({}, [op.append(Array<string>(29).fill("a"), 1)])).toMatchObject({
      value: nested(29, [1]),
    });
    expect(tryReduce({}, [op.append(Array<string>(30).fill("a"), 1)])).toBe("VALUE_TOO_DEEP");
  });

  test("a result over 1 MiB fails the whole call, also when steps were skipped", () => {
    const half = "x".repeat(600_000);
    expect(tryReduce(half, [op.append([], half)])).toBe("VALUE_TOO_LARGE");
    expect(tryReduce(half, [op.append([], 1), op.append([], half)])).toBe("VALUE_TOO_LARGE");
  });

  test("the state between two steps may exceed the limits", () => {
    const half = "x".repeat(600_000);
    const ops = [op.append(["a"], half), op.append(["a"], half), op.set("a", 1)];
    expect(tryReduce({}, ops)).toMatchObject({ value: { a: 1 }, codes: {} });
    const deep = [op.merge(Array<string>(32).fill("a"), nested(16, 1)), op.remove("a")];
    expect(tryReduce({}, deep)).toMatchObject({ value: {}, codes: {} });
  });

  test("steps with too many bytes together are refused before any runs", () => {
    const megabyte = Value.of("x".repeat(1_000_000));
    const ops = Array.from({ length: 1000 }, (): UpdateOp => ({
      type: "append",
      path: [],
      value: megabyte,
    }));
    expect(tryReduce("", ops)).toBe("REQUEST_INVALID");
  });
});
