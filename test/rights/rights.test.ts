import { describe, expect, test } from "vitest";
import type { Action, Resource } from "../../src/rights/action.ts";
import type { Subject } from "../../src/rights/pattern.ts";
import { rightsOf } from "../../src/rights/rights.ts";
import { everything, readRules } from "../../src/rights/rule.ts";

/** Whether one rule allows an action. */
function may(
  rule: Readonly<Record<string, unknown>>,
  subject: Subject,
  resource: Resource,
  action: Action = "read",
): boolean {
  const rules = readRules([{ actions: ["read"], ...rule }], "rules");
  return rightsOf(rules, subject).allowing(action, resource) !== undefined;
}

const room = (group: string): Resource => ({ stream: "chat", group, item: "1" });

describe("a pattern", () => {
  test("without placeholder is a name, compared as a whole and never normalized", () => {
    expect(may({ group: "ab" }, {}, room("ab"))).toBe(true);
    for (const other of ["a", "abc", "Ab", " ab", "*"])
      expect(may({ group: "ab" }, {}, room(other))).toBe(false);
    expect(may({ group: "\u00e9" }, {}, room("e\u0301"))).toBe(false);
  });

  test("that ends in * is the beginning of names", () => {
    for (const name of ["public-", "public-a", "public-*"])
      expect(may({ group: "public-*" }, {}, room(name))).toBe(true);
    for (const name of ["public", "a-public-b"])
      expect(may({ group: "public-*" }, {}, room(name))).toBe(false);
  });

  test("with {user} is the id of the user, and matches no caller without one", () => {
    expect(may({ group: "of-{user}" }, { user: "ann" }, room("of-ann"))).toBe(true);
    expect(may({ group: "of-{user}" }, { user: "ann" }, room("of-anna"))).toBe(false);
    expect(may({ group: "of-{user}" }, {}, room("of-"))).toBe(false);
    expect(may({ group: "{user}" }, {}, room("{user}"))).toBe(false);
  });

  test.each(["*", "a*", "{user}", "{claims.room}", "^.*$", "ann"])(
    "takes the claim %s literally",
    (claim) => {
      const subject = { user: "ann", claims: { room: claim, other: "b" } };
      expect(may({ group: "{claims.room}" }, subject, room(claim))).toBe(true);
      for (const group of ["a", "ab", "b", "other"])
        expect(may({ group: "{claims.room}" }, subject, room(group))).toBe(false);
      expect(may({ group: "{claims.room}" }, subject, { stream: "chat" })).toBe(false);
    },
  );

  test("with a list stands for each of its entries", () => {
    const subject = { claims: { rooms: ["a", 7, "", null, true, ["d"], { e: 1 }] } };
    for (const group of ["a", "7"])
      expect(may({ group: "{claims.rooms}" }, subject, room(group))).toBe(true);
    for (const group of ["", "null", "true", "d", "e", "a,7"])
      expect(may({ group: "{claims.rooms}" }, subject, room(group))).toBe(false);
    expect(may({ group: "{claims.rooms}-{claims.rooms}" }, subject, room("a-7"))).toBe(true);
  });

  test("finds nested values, and keys that contain dots", () => {
    const claims = { org: { id: "x" }, "https://id.example.com/rooms": ["a"] };
    expect(may({ group: "{claims.org.id}" }, { claims }, room("x"))).toBe(true);
    expect(may({ group: "{claims.https://id.example.com/rooms}" }, { claims }, room("a"))).toBe(
      true,
    );
    expect(may({ group: "{context.org.id}" }, { context: claims }, room("x"))).toBe(true);
    expect(may({ group: "{context.org.id}" }, { claims }, room("x"))).toBe(false);
  });

  test.each([
    ["is missing", {}],
    ["is empty", { a: "" }],
    ["is an empty list", { a: [] }],
    ["is null", { a: null }],
    ["is an object", { a: {} }],
    ["is a truth value", { a: true }],
    ["is a number that JSON rounds", { a: 2 ** 53 }],
  ])("matches nothing when the value %s, with a final * neither", (_title, claims) => {
    for (const pattern of ["{claims.a}", "{claims.a}*", "x{claims.a}*"]) {
      for (const group of [
        "",
        "x",
        "null",
        "true",
        "undefined",
        "[object Object]",
        String(2 ** 53),
      ])
        expect(may({ group: pattern }, { claims }, room(group))).toBe(false);
    }
  });

  test("reads a path with dots by the shortest first key that leads to a value", () => {
    const claims = { "a.b": { c: "long" }, a: { "b.c": "short" } };
    expect(may({ group: "{claims.a.b.c}" }, { claims }, room("short"))).toBe(true);
    expect(may({ group: "{claims.a.b.c}" }, { claims }, room("long"))).toBe(false);
    expect(
      may({ group: "{claims.a.b.c}" }, { claims: { ...claims, a: { b: "x" } } }, room("long")),
    ).toBe(true);
  });

  test("never finds what objects inherit", () => {
    for (const path of ["constructor.name", "__proto__.x", "toString", "a.length"]) {
      const subject = { claims: { a: "text" } };
      for (const group of ["Object", "4", "x", "function toString() { [native code] }"])
        expect(may({ group: `{claims.${path}}` }, subject, room(group))).toBe(false);
    }
    const claims: unknown = JSON.parse('{"__proto__":{"x":"own"}}');
    expect(may({ group: "{claims.__proto__.x}" }, { claims }, room("own"))).toBe(true);
  });

  test("that stands for more than 10,000 names matches none", () => {
    const claims = { a: Array.from({ length: 101 }, (_, i) => `a${i}`) };
    expect(may({ group: "{claims.a}" }, { claims }, room("a1"))).toBe(true);
    expect(may({ group: "{claims.a}{claims.a}" }, { claims }, room("a1a1"))).toBe(false);
  });
});

describe("a rule", () => {
  test("with a pattern for items allows nothing about the whole group", () => {
    expect(may({ item: "a" }, {}, { stream: "s", group: "g", item: "a" })).toBe(true);
    for (const item of ["a", "a*", "{user}*"])
      expect(may({ item }, { user: "a" }, { stream: "s", group: "g" })).toBe(false);
    expect(may({ item: "*" }, {}, { stream: "s", group: "g" })).toBe(true);
  });

  test("with a pattern for groups allows nothing about the whole stream", () => {
    expect(may({ stream: "s", group: "a*" }, {}, { stream: "s" })).toBe(false);
    expect(may({ stream: "s" }, {}, { stream: "s" })).toBe(true);
  });

  test("with a pattern for streams allows nothing about everything", () => {
    expect(may({ stream: "s*" }, {}, {})).toBe(false);
    expect(may({}, {}, {})).toBe(true);
  });

  test.each(["*", "work"])("with action %s allows every action", (action) => {
    for (const each of ["read", "write", "presence", "work", "admin"] as const)
      expect(may({ actions: [action] }, {}, {}, each)).toBe(true);
  });

  test("allows no other action than its own", () => {
    for (const action of ["subscribe", "write", "send", "presence", "work", "admin"] as const)
      expect(may({ actions: ["read"] }, {}, {}, action)).toBe(false);
    expect(may({ actions: ["admin"] }, {}, {}, "read")).toBe(false);
  });

  test("that decides is returned with its place", () => {
    const rules = readRules(
      [
        { actions: ["write"], stream: "a" },
        { actions: ["write"], stream: "a*" },
      ],
      "auth.rules",
    );
    const rights = rightsOf(rules, {});
    expect(rights.allowing("write", { stream: "a" })?.place).toBe("auth.rules[0]");
    expect(rights.allowing("write", { stream: "ab" })?.place).toBe("auth.rules[1]");
    expect(rights.allowing("write", { stream: "b" })).toBeUndefined();
  });

  test("for everything allows everything", () => {
    const rights = rightsOf([everything("api_tokens")], {});
    expect(rights.allowing("admin", {})?.place).toBe("api_tokens");
    expect(rights.allowing("write", { stream: "s", group: "g", item: "i" })).toBeDefined();
  });
});
