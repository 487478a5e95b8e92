import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ACTIONS } from "../../src/rights/action.ts";
import { rightsOf } from "../../src/rights/rights.ts";
import { readRules } from "../../src/rights/rule.ts";
import { naiveIndex } from "./naive-rights.ts";

/** Few different texts, so that names, patterns and claims often meet. */
const text = fc.constantFrom(
  "a",
  "ab",
  "abc",
  "b",
  "*",
  "a*",
  "{user}",
  "{claims.a}",
  "é",
  "1",
  "",
);
const scalar = fc.oneof(
  { weight: 6, arbitrary: text },
  { weight: 2, arbitrary: fc.constantFrom(0, 1, -1, 1.5, 1e21, 2 ** 53, 2 ** 53 - 1) },
  { weight: 1, arbitrary: fc.constantFrom(null, true, false) },
);
const key = fc.constantFrom("a", "b", "user", "__proto__", "constructor", "length", "0");
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 3 },
    scalar,
    fc.array(tie("json"), { maxLength: 3 }),
    // JSON.parse makes `__proto__` an ordinary own member, as a token does.
    fc.array(fc.tuple(key, tie("json")), { maxLength: 3 }).map(objectOf),
  ),
}));
const subject = fc.record(
  { user: fc.constantFrom("a", "ab", "*", "a*", "{user}"), claims: json, context: json },
  { requiredKeys: [] },
);
const path = fc
  .tuple(fc.constantFrom("claims", "context"), fc.array(key, { minLength: 1, maxLength: 3 }))
  .map(([root, keys]) => `{${[root, ...keys].join(".")}}`);
const piece = fc.oneof(fc.constantFrom("a", "b", "ab", "é", "1"), fc.constant("{user}"), path);
const pattern = fc.oneof(
  fc.constant("*"),
  fc
    .tuple(fc.array(piece, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([pieces, isPrefix]) => pieces.join("") + (isPrefix ? "*" : "")),
);
const rule = fc.record(
  {
    actions: fc.array(fc.constantFrom(...ACTIONS, "*"), { minLength: 1, maxLength: 3 }),
    stream: pattern,
    group: pattern,
    item: pattern,
  },
  { requiredKeys: ["actions"] },
);
const name = fc.oneof(text, fc.constantFrom("aa", "ba", "1", "1.5", "-1", "user", "__proto__"));
const resource = fc.record({ stream: name, group: name, item: name }, { requiredKeys: [] });

function objectOf(entries: readonly (readonly [string, unknown])[]): unknown {
  const members = entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`);
  return JSON.parse(`{${members.join(",")}}`) as unknown;
}

describe("rights", () => {
  test("allow exactly what a naive model allows, by the same rule", () => {
    let allowed = 0;
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 4 }),
        subject,
        fc.array(fc.tuple(fc.constantFrom(...ACTIONS), resource), { minLength: 1, maxLength: 8 }),
        (written, caller, questions) => {
          const rules = readRules(written, "rules");
          const rights = rightsOf(rules, caller);
          for (const [action, about] of questions) {
            const index = naiveIndex(written, caller, action, about);
            expect(rights.allowing(action, about)).toBe(rules[index]);
            if (index >= 0) allowed++;
          }
        },
      ),
      { numRuns: 3_000 },
    );
    // The generated rules are neither all too narrow nor all too wide.
    expect(allowed).toBeGreaterThan(500);
  });

  test("of callers whose claims are texts and lists are those of the naive model", () => {
    const part = fc.constantFrom("a", "b", "{user}", "{claims.a}", "{claims.b}", "{context.a}");
    const parts = fc.array(part, { minLength: 1, maxLength: 3 });
    const letters = fc.constantFrom("a", "b", "ab", "*");
    const claim = fc.oneof(letters, fc.array(letters, { maxLength: 3 }));
    const caller = fc.record({
      user: letters,
      claims: fc.record({ a: claim, b: claim }),
      context: fc.record({ a: claim }),
    });
    const group = fc.array(letters, { minLength: 1, maxLength: 3 }).map((all) => all.join(""));
    let allowed = 0;
    fc.assert(
      fc.property(parts, fc.constantFrom("", "*"), caller, group, (all, end, subject, name) => {
        const written = [{ actions: ["read"], group: all.join("") + end }];
        const rights = rightsOf(readRules(written, "rules"), subject);
        const isAllowed = rights.allowing("read", { group: name }) !== undefined;
        expect(isAllowed).toBe(naiveIndex(written, subject, "read", { group: name }) === 0);
        if (isAllowed) allowed++;
      }),
      { numRuns: 3_000 },
    );
    expect(allowed).toBeGreaterThan(200);
  });
});
