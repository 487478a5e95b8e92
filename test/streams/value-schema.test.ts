import { describe, expect, it } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import { type Json, Value } from "../../src/core/value.ts";
import { FORMAT_NAMES } from "../../src/streams/formats.ts";
import { compileSchema } from "../../src/streams/value-schema.ts";

/** The error that a schema has for a value; undefined when the value fits. */
function mismatch(schema: object | boolean, json: Json): StreamError | undefined {
  return mismatchOf(compileSchema(schema), Value.of(json));
}

function mismatchOf(schema: ReturnType<typeof compileSchema>, value: Value) {
  try {
    schema.check(value, "data");
    return undefined;
  } catch (error) {
    if (error instanceof StreamError) return error;
    throw error;
  }
}

function problemOf(schema: unknown): string {
  try {
    compileSchema(schema);
  } catch (error) {
    return String(error);
  }
  return "compiles";
}

const person = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  $id: "https://example.com/person.json",
  title: "A person",
  type: "object",
  properties: {
    name: { type: "string", minLength: 1 },
    age: { type: "integer", minimum: 0 },
    tags: { type: "array", items: { enum: ["a", "b"] } },
    "a/b~c": { type: "null" },
  },
  required: ["name"],
  additionalProperties: false,
};

describe("a schema of values", () => {
  it("accepts a value that fits", () => {
    expect(mismatch(person, { name: "Anna", age: 7, tags: ["a"], "a/b~c": null })).toBeUndefined();
    expect(mismatch(true, [1, null])).toBeUndefined();
  });

  it.each<[string, Json, string, string]>([
    ["another type", { name: 1 }, "/name", "its /name must be string"],
    ["a missing member", {}, "", "it must have required property 'name'"],
    ["an unknown member", { name: "A", x: 1 }, "", 'it must not have the property "x"'],
    ["an entry of a list", { name: "A", tags: ["a", "c"] }, "/tags/1", 'must be one of "a", "b"'],
    ["a number below its range", { name: "A", age: -1 }, "/age", "its /age must be >= 0"],
    ["a name with a slash", { name: "A", "a/b~c": 1 }, "/a~1b~0c", "must be null"],
    ["a scalar", 7, "", "it must be object"],
  ])("refuses %s, with its path and what it wants", (_, value, path, sentence) => {
    const error = mismatch(person, value);
    expect(error).toMatchObject({
      reason: "SCHEMA_MISMATCH",
      code: "invalid_argument",
      retryable: false,
      metadata: { field: "data", path },
    });
    expect(error?.message).toMatch(/^data does not fit the schema of its stream: its? .*\.$/);
    expect(error?.message).toContain(sentence);
  });

  it("names the value that fits none of several alternatives", () => {
    const schema = {
      properties: { x: { anyOf: [{ type: "string" }, { properties: { y: { const: 1 } } }] } },
    };
    expect(mismatch(schema, { x: { y: 2 } })).toMatchObject({ metadata: { path: "/x" } });
    const conditional = JSON.parse('{"if":{"type":"object"},"then":{"required":["k"]}}') as object;
    expect(mismatch(conditional, {})?.message).toContain("must have required property 'k'");
    expect(mismatch({ propertyNames: { maxLength: 1 } }, { ab: 1 })?.message).toContain('"ab"');
    expect(mismatch(false, 1)?.message).toContain("must not be there");
  });

  it("considers only own members of the value, not those that all objects have", () => {
    expect(mismatch({ required: ["toString"] }, {})).toBeDefined();
    expect(mismatch({ properties: { constructor: { type: "string" } } }, {})).toBeUndefined();
  });

  it("keeps messages and paths short", () => {
    const long = "k".repeat(400);
    const error = mismatch(
      { patternProperties: { "": { const: long } } },
      { [long]: { [long]: 1 } },
    );
    expect(error?.message.length).toBeLessThan(900);
    expect(error?.metadata["path"]).toBe("");
    const nested = mismatch(
      { properties: { a: { additionalProperties: { type: "null" } } } },
      { a: { [long]: 1 } },
    );
    expect(nested?.metadata["path"]).toBe("/a");
  });

  it("follows references to its own parts", () => {
    const tree = {
      $defs: { node: { $anchor: "node", type: "object", properties: { next: { $ref: "#node" } } } },
      $ref: "#/$defs/node",
    };
    expect(mismatch(tree, { next: { next: {} } })).toBeUndefined();
    expect(mismatch(tree, { next: { next: 1 } })).toMatchObject({
      metadata: { path: "/next/next" },
    });
  });

  it("compares items of a list by value", () => {
    const unique = { uniqueItems: true };
    expect(mismatch(unique, [1, "1", '"1', [1], ["1"], { a: 1, b: 2 }, { a: 1 }])).toBeUndefined();
    expect(
      mismatch(unique, [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ])?.message,
    ).toContain("duplicate");
    expect(mismatch(unique, [null, true, null])).toBeDefined();
    expect(mismatch({ uniqueItems: false }, [1, 1])).toBeUndefined();
  });

  it.each<[string, string, string]>([
    ["date", "2026-02-28", "2026-02-30"],
    ["time", "12:00:00Z", "25:00:00Z"],
    ["date-time", "2026-02-28T12:00:00+01:00", "2026-02-28"],
    ["duration", "P1DT12H", "P"],
    ["email", "anna@example.com", "anna@"],
    ["hostname", "a.example.com", "-a.example.com"],
    ["ipv4", "10.0.0.1", "10.0.0.256"],
    ["ipv6", "fd00::1", "fd00:::1"],
    ["uri", "https://example.com/a?b#c", "/a?b#c"],
    ["uri-reference", "/a?b#c", "a b"],
    ["uri-template", "/users/{id}", "/users/{id"],
    ["uuid", "6f1c9ac8-7e5a-4f1e-9a50-3a2d4f1b2c3d", "6f1c9ac8"],
    ["json-pointer", "/a~1b/0", "a"],
    ["relative-json-pointer", "1/a", "/a"],
    ["regex", "^a+$", "("],
  ])("checks the format %s", (format, right, wrong) => {
    expect(FORMAT_NAMES).toContain(format);
    expect(mismatch({ format }, right)).toBeUndefined();
    expect(mismatch({ format }, wrong)?.message).toContain(format);
    expect(mismatch({ format }, 7)).toBeUndefined();
  });
});

describe("an invalid schema", () => {
  it.each<[string, unknown, string]>([
    ["no schema", [], "neither an object nor a boolean"],
    ["nothing", undefined, "neither an object nor a boolean"],
    ["a wrong type", { type: "strng" }, "is no JSON Schema: its /type must be"],
    ["a misspelt keyword", { propertees: {} }, '"propertees", which is no keyword'],
    ["an older draft", { $schema: "http://json-schema.org/draft-07/schema#" }, "may only be"],
    ["an unknown format", { format: "colour" }, 'the format "colour", which is not checked'],
    ["a URL", { $ref: "https://example.com/x.json" }, "/$ref, which leads out of the schema"],
    ["a file", { items: { $ref: "other.json#/$defs/a" } }, "/items/$ref, which leads out"],
    ["a missing part", { $ref: "#/$defs/a" }, "leads to no schema"],
    ["a missing anchor", { $ref: "#a" }, "leads to no schema"],
    ["a part that is no schema", { examples: [{}], $ref: "#/examples/0" }, "leads to no schema"],
    ["another base", { items: { $id: "b" } }, "only the whole schema may have an $id"],
    ["an asynchronous schema", { $async: true }, "no keyword"],
    ["an internal keyword", { "millrace:step": [0, false] }, "no keyword"],
    ["a broken pattern", { pattern: "(" }, "a pattern that cannot be matched in linear time"],
    ["look-ahead", { pattern: "(?=a)" }, "a pattern that cannot be matched in linear time"],
    ["a reference to a group", { pattern: "(a)\\1" }, "cannot be matched in linear time"],
    ["such a name of members", { patternProperties: { "(?!a)": {} } }, "in linear time"],
  ])("is refused: %s", (_, schema, sentence) => {
    expect(problemOf(schema)).toContain(sentence);
  });

  it("is refused when it is nested too deeply", () => {
    let schema: object = {};
    for (let i = 0; i < 100_000; i++) schema = { not: schema };
    expect(problemOf(schema)).toMatch(/not JSON|too deeply/);
  });
});

/** Levels of objects: the deepest value there may be. */
function nested(levels: number, leaf: Json): Json {
  let value = leaf;
  for (let i = 0; i < levels; i++) value = { a: value };
  return value;
}

/** A list of this many numbers: more than a value may hold otherwise. */
const NUMBERS = Value.of(Array.from({ length: 90_000 }, (_, i) => i));
const OBJECTS = Value.of(Array.from({ length: 40_000 }, (_, i) => ({ i })));
const both = (ref: string) => [{ $ref: ref }, { $ref: ref }];

/** Definitions that each apply the next one twice. */
function doubling(levels: number, leaf: object): object {
  const $defs: Record<string, object> = { [`d${levels}`]: leaf };
  for (let i = 0; i < levels; i++) $defs[`d${i}`] = { allOf: both(`#/$defs/d${i + 1}`) };
  return { $defs, $ref: "#/$defs/d0" };
}

describe("a check that would take forever", () => {
  /** A check takes less than this, in milliseconds of the processor: other tests run meanwhile. */
  const BOUND_MS = 3000;
  const cpuMs = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };

  it.each<[string, object, Value]>([
    [
      "two alternatives at each level",
      {
        anyOf: [
          { const: 1 },
          { properties: { a: { anyOf: both("#") } }, type: "object", required: ["a"] },
        ],
      },
      Value.of(nested(30, 2)),
    ],
    ["a schema that is itself", { $ref: "#" }, Value.of(1)],
    ["all of itself", { allOf: both("#") }, Value.of(1)],
    ["definitions that double", doubling(40, { type: "null" }), Value.of(null)],
    [
      "definitions that double over many members",
      doubling(30, { additionalProperties: false, patternProperties: { "^k": true } }),
      Value.of(Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`k${i}`, 0]))),
    ],
    [
      "definitions that double over a long text",
      doubling(30, { minLength: 1 }),
      Value.of("x".repeat(900_000)),
    ],
    ["definitions that double over a long list", doubling(30, { uniqueItems: true }), NUMBERS],
    ["a pattern of many states", { pattern: "(a?){1000}a{1000}b$" }, Value.of("a".repeat(500_000))],
    [
      "many texts under a pattern of many states",
      { items: { pattern: "^(a?){500}a{100}$" } },
      Value.of(Array.from({ length: 5000 }, () => "a".repeat(150))),
    ],
    [
      "the dynamic scope",
      {
        $dynamicAnchor: "node",
        anyOf: [
          { const: 1 },
          {
            properties: { a: { anyOf: [{ $dynamicRef: "#node" }, { $dynamicRef: "#node" }] } },
            type: "object",
            required: ["a"],
          },
        ],
      },
      Value.of(nested(30, 2)),
    ],
  ])("is ended: %s", (_, schema, value) => {
    const compiled = compileSchema(schema);
    const start = cpuMs();
    const error = mismatchOf(compiled, value);
    expect(cpuMs() - start).toBeLessThan(BOUND_MS);
    expect(error).toMatchObject({ reason: "SCHEMA_MISMATCH", metadata: { path: "" } });
    expect(error?.message).toContain("takes too many steps");
  });

  it.each<[string, object, Value, boolean]>([
    ["unique objects", { uniqueItems: true }, OBJECTS, true],
    [
      "a list without the item",
      { contains: { $ref: "#/$defs/x" }, $defs: { x: { type: "null" } } },
      NUMBERS,
      false,
    ],
    [
      "alternatives for many items",
      { items: { anyOf: [{ type: "null" }, { type: "string" }, { type: "number" }] } },
      NUMBERS,
      true,
    ],
    [
      "items without any alternative",
      {
        anyOf: [{ items: { $ref: "#/$defs/x" } }, { contains: { type: "null" } }],
        $defs: { x: { type: "null" } },
      },
      NUMBERS,
      false,
    ],
    [
      "a pattern that backtracks",
      { pattern: "^(a+)+$" },
      Value.of(`${"a".repeat(900_000)}!`),
      false,
    ],
  ])("is linear, and finishes: %s", (_, schema, value, fits) => {
    const compiled = compileSchema(schema);
    const start = cpuMs();
    const error = mismatchOf(compiled, value);
    expect(cpuMs() - start).toBeLessThan(BOUND_MS);
    expect(error === undefined).toBe(fits);
    if (error !== undefined) expect(error.message).not.toContain("too many steps");
  });

  it("leaves nothing behind: the next check has all of its steps", () => {
    const schema = compileSchema({ anyOf: [{ const: 1 }, { allOf: both("#") }] });
    expect(mismatchOf(schema, Value.of(2))).toBeDefined();
    expect(mismatchOf(schema, Value.of(1))).toBeUndefined();
  });

  it.each(FORMAT_NAMES.map((format) => [format]))("is ended for hostile texts of %s", (format) => {
    const schema = compileSchema({ format });
    const pieces = [
      "a",
      "1",
      "@",
      ".",
      "-",
      "/",
      ":",
      "%41",
      "{a",
      "~0",
      "P1",
      "a.",
      "a-",
      "(",
      "[",
      "1:",
      "t",
    ];
    for (const beginning of ["", "a@", "a:", "http://", "/", "P", "#", "2026-01-01t"]) {
      for (const piece of pieces) {
        const text = Value.of(`${beginning}${piece.repeat(20_000)}\u0001`);
        const start = cpuMs();
        mismatchOf(schema, text);
        expect(cpuMs() - start, `${beginning}${piece}...`).toBeLessThan(BOUND_MS);
      }
    }
  });
});
