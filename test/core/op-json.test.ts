import { describe, expect, test } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import { MAX_OPS, checkBy, checkOpCount, opFromJson, opsFromJson } from "../../src/core/op-json.ts";
import { reduce } from "../../src/core/reduce.ts";
import { op } from "./op-builders.ts";

function refusal(run: () => unknown): StreamError | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof StreamError) return error;
    throw error;
  }
}

describe("a step in JSON", () => {
  test.each([
    [{ type: "set", path: "a", value: 1 }, op.set("a", 1)],
    [{ type: "set", path: "", value: null }, op.set("", null)],
    [{ type: "set", path: "a" }, op.set("a", null)],
    [{ type: "merge", value: { a: 1 } }, op.merge([], { a: 1 })],
    [{ type: "merge", path: "", value: {} }, op.merge([], {})],
    [{ type: "merge", path: [], value: {} }, op.merge([], {})],
    [{ type: "merge", path: "a.b", value: {} }, op.merge(["a.b"], {})],
    [{ type: "merge", path: ["a", "b"], value: {} }, op.merge(["a", "b"], {})],
    [{ type: "merge", path: [""], value: {} }, op.merge([""], {})],
    [{ type: "merge", value: 1 }, op.merge([], 1)],
    [{ type: "merge", path: null, value: {} }, op.merge([], {})],
    [{ type: "append", value: null }, op.append([], null)],
    [{ type: "append", path: null, value: 1 }, op.append([], 1)],
    [{ type: "append", path: "a", value: [1] }, op.append(["a"], [1])],
    [{ type: "append", path: ["a", "b"], value: "x" }, op.append(["a", "b"], "x")],
    [{ type: "increment", path: "n", by: 2 }, op.increment("n", 2)],
    [{ type: "increment", path: "n", by: "-2" }, op.increment("n", -2)],
    [
      { type: "decrement", path: "", by: Number.MAX_SAFE_INTEGER },
      op.decrement("", Number.MAX_SAFE_INTEGER),
    ],
    [
      { type: "decrement", path: "n", by: "-9007199254740991" },
      op.decrement("n", -Number.MAX_SAFE_INTEGER),
    ],
    [{ type: "remove", path: "a" }, op.remove("a")],
    [{ type: "remove", path: "a", value: 1, by: {}, comment: "ignored" }, op.remove("a")],
  ])("%j is read", (json, expected) => {
    expect(opFromJson(json, 0)).toStrictEqual(expected);
  });

  const big = "9007199254740992";
  test.each<[unknown, string]>([
    [undefined, "ops[3]"],
    [null, "ops[3]"],
    ["set", "ops[3]"],
    [[], "ops[3]"],
    [{}, "ops[3].type"],
    [{ type: "replace", path: "a" }, "ops[3].type"],
    [{ type: "SET", path: "a" }, "ops[3].type"],
    [{ type: 1, path: "a" }, "ops[3].type"],
    [{ type: "toString", path: "a" }, "ops[3].type"],
    [{ set: { path: "a", value: 1 } }, "ops[3].type"],
    ...["set", "increment", "decrement", "remove"].flatMap((type): [unknown, string][] =>
      [undefined, null, 1, true, ["a"], [], {}, "\ud83d"].map((path) => [
        { type, path, value: 1, by: 1 },
        "ops[3].path",
      ]),
    ),
    ...["merge", "append"].flatMap((type): [unknown, string][] => [
      ...[1, true, {}, [1], ["a", null], [["a"]], "\ud83d", ["a", "\ude00"]].map(
        (path): [unknown, string] => [{ type, path, value: {} }, "ops[3].path"],
      ),
      [{ type, path: "a" }, "ops[3].value"],
      [{ type, path: "a", value: undefined }, "ops[3].value"],
    ]),
    ...["increment", "decrement"].flatMap((type): [unknown, string][] =>
      [
        undefined,
        null,
        1.5,
        Number.NaN,
        Infinity,
        2 ** 53,
        -(2 ** 53),
        big,
        `-${big}`,
        "1.5",
        "1e3",
        "0x10",
        "",
        " 1",
        "+1",
        "one",
        true,
        [1],
        {},
      ].map((by) => [{ type, path: "n", by }, "ops[3].by"]),
    ),
  ])("%j is malformed", (json, field) => {
    const error = refusal(() => opFromJson(json, 3));
    expect(error).toMatchObject({
      reason: "OP_MALFORMED",
      code: "invalid_argument",
      metadata: { field },
    });
    expect(error?.message).toMatch(/^ops\[3\]\S* is (missing|malformed); it may be .+\.$/);
  });

  test("names the malformed field and its allowed values", () => {
    const message = (json: unknown) => refusal(() => opFromJson(json, 3))?.message;
    expect(message({ type: "increment", path: "n", by: 1.5 })).toBe(
      "ops[3].by is malformed; it may be an integer from -(2^53-1) to 2^53-1.",
    );
    expect(message({ type: "remove" })).toBe(
      'ops[3].path is missing; it may be a first-level key as a string, or "" for the root.',
    );
    expect(message({ type: "inc" })).toBe(
      "ops[3].type is malformed; it may be set, merge, increment, decrement, append or remove.",
    );
  });

  test.each([
    ["set", "VALUE_INVALID", { path: "a", value: Number.NaN }],
    ["set", "VALUE_INVALID", { path: "a", value: JSON.parse('{"__proto__":1}') as unknown }],
    ["append", "VALUE_INVALID", { value: JSON.parse('{"__proto__":1}') as unknown }],
    ["merge", "VALUE_INVALID", { value: JSON.parse('{"a":{"__proto__":1}}') as unknown }],
    ["merge", "VALUE_INVALID", { value: { a: "\ud83d" } }],
    ["append", "VALUE_TOO_DEEP", { value: JSON.parse("[".repeat(31) + "]".repeat(31)) as unknown }],
    ["merge", "VALUE_TOO_LARGE", { value: { a: "x".repeat(1_100_000) } }],
  ])("%s with an invalid value fails the call with %s", (type, reason, fields) => {
    expect(refusal(() => opFromJson({ type, ...fields }, 3))).toMatchObject({
      reason,
      metadata: { field: "ops[3].value" },
    });
  });

  test("with a forbidden top-level key in a merge value reaches the reducer, which reports it", () => {
    const step = opFromJson(JSON.parse('{"type":"merge","value":{"__proto__":{"a":1},"b":2}}'), 0);
    const { value, errors } = reduce(undefined, [step]);
    expect(errors).toMatchObject([{ opIndex: 0, code: "merge.value.proto_polluted" }]);
    expect(value.text).toBe("{}");
  });

  test("shares nothing with the JSON it was read from", () => {
    const json = { type: "append", path: ["a"], value: [1] };
    const step = opFromJson(json, 0);
    json.path.push("b");
    json.value.push(2);
    expect(step).toStrictEqual(op.append(["a"], [1]));
  });
});

describe("the steps of an update in JSON", () => {
  test("are read in order", () => {
    expect(
      opsFromJson([
        { type: "remove", path: "a" },
        { type: "set", path: "b", value: 1 },
      ]),
    ).toStrictEqual([op.remove("a"), op.set("b", 1)]);
    expect(opsFromJson([])).toStrictEqual([]);
  });

  test("name the malformed one", () => {
    const ops = [{ type: "remove", path: "a" }, { type: "remove" }];
    expect(refusal(() => opsFromJson(ops))?.metadata).toStrictEqual({ field: "ops[1].path" });
  });

  test.each([[undefined], [null], [{}], ["[]"], [{ length: 1 }]])(
    "are an array, not %j",
    (json) => {
      expect(refusal(() => opsFromJson(json))).toMatchObject({
        reason: "OP_MALFORMED",
        metadata: { field: "ops" },
        message: expect.stringContaining("it may be an array of up to 1000 operations.") as string,
      });
    },
  );

  test("are at most 1,000", () => {
    const ops = (count: number) =>
      Array.from({ length: count }, () => ({ type: "remove", path: "a" }));
    expect(opsFromJson(ops(MAX_OPS))).toHaveLength(1000);
    expect(refusal(() => opsFromJson(ops(1001)))).toMatchObject({
      reason: "REQUEST_INVALID",
      message: "ops has 1001 entries; it may have up to 1000.",
      metadata: { field: "ops" },
    });
    expect(() => checkOpCount(1000)).not.toThrow();
    expect(() => checkOpCount(1001)).toThrow(StreamError);
  });
});

test.each([
  [5n, 5],
  [-9007199254740991n, -Number.MAX_SAFE_INTEGER],
  ["007", 7],
  [1.0, 1],
])("%s is an amount", (by, amount) => {
  expect(checkBy(by, "by")).toBe(amount);
});

test.each([[2n ** 53n], [-(2n ** 63n)], [2n ** 2000n]])("%s is not an amount", (by) => {
  expect(refusal(() => checkBy(by, "ops[0].by"))).toMatchObject({
    reason: "OP_MALFORMED",
    metadata: { field: "ops[0].by" },
  });
});
