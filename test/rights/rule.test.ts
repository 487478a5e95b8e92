import { describe, expect, test } from "vitest";
import { RuleError, readRules } from "../../src/rights/rule.ts";

function messageOf(value: unknown): string {
  try {
    readRules(value, "auth.rules");
  } catch (error) {
    if (error instanceof RuleError) return error.message;
    throw error;
  }
  return "";
}

describe("a list of rules", () => {
  test("may be empty, and may have all patterns", () => {
    expect(readRules([], "auth.rules")).toEqual([]);
    const [rule] = readRules(
      [{ actions: ["read", "*"], stream: "a*", group: "{claims.rooms}", item: "{user}" }],
      "auth.rules",
    );
    expect(rule).toMatchObject({
      place: "auth.rules[0]",
      written: ["read", "*"],
      stream: { text: "a*" },
      group: { text: "{claims.rooms}" },
      item: { text: "{user}" },
    });
  });

  test.each([
    [undefined, "auth.rules is not a list; it may be a list of rules."],
    [{}, "auth.rules is not a list; it may be a list of rules."],
    [
      [null],
      "auth.rules[0] is not an object; it may be an object with the keys actions, stream, group, item.",
    ],
    [
      [{}],
      "auth.rules[0] has no actions; it may be a list of subscribe, read, write, send, presence, work, admin, *.",
    ],
    [
      [{ actions: "read" }],
      "auth.rules[0].actions is not a list; it may be a list of subscribe, read, write, send, presence, work, admin, *.",
    ],
    [
      [{ actions: [] }],
      "auth.rules[0].actions is empty; it may be a list of subscribe, read, write, send, presence, work, admin, *.",
    ],
    [
      [{ actions: ["read"] }, { actions: [["read"]] }],
      "auth.rules[1].actions has an entry that is not text; it may be a list of subscribe, read, write, send, presence, work, admin, *.",
    ],
    [
      [{ actions: ["subscirbe"] }],
      'auth.rules[0].actions has an unknown action "subscirbe"; did you mean subscribe?',
    ],
    [
      [{ actions: ["constructor"] }],
      'auth.rules[0].actions has an unknown action "constructor"; it may be a list of subscribe, read, write, send, presence, work, admin, *.',
    ],
    [
      [{ actions: ["read"], steam: "a" }],
      'auth.rules[0] has an unknown key "steam"; did you mean stream?',
    ],
    [
      [{ actions: ["read"], deny: true }],
      'auth.rules[0] has an unknown key "deny"; it may have actions, stream, group, item.',
    ],
    [
      [JSON.parse('{"actions":["read"],"__proto__":{}}')],
      'auth.rules[0] has an unknown key "__proto__"; did you mean group?',
    ],
    [
      [{ actions: ["read"], group: null }],
      "auth.rules[0].group is not text; it may be a pattern for names.",
    ],
    [
      [{ actions: ["read"], group: "" }],
      "auth.rules[0].group is empty; it may be a name, or * for all names.",
    ],
    [
      [{ actions: ["read"], group: "a*b" }],
      "auth.rules[0].group has a * before its end; it may end in one *.",
    ],
    [
      [{ actions: ["read"], group: "**" }],
      "auth.rules[0].group has a * before its end; it may end in one *.",
    ],
    [
      [{ actions: ["read"], group: "{userid}" }],
      "auth.rules[0].group has an unknown placeholder {userid}; it may be {user}, {claims.NAME} or {context.NAME}.",
    ],
    [
      [{ actions: ["read"], item: "{claims}" }],
      "auth.rules[0].item has an unknown placeholder {claims}; it may be {user}, {claims.NAME} or {context.NAME}.",
    ],
    [
      [{ actions: ["read"], item: "{claims..a}" }],
      "auth.rules[0].item has an unknown placeholder {claims..a}; it may be {user}, {claims.NAME} or {context.NAME}.",
    ],
    [
      [{ actions: ["read"], stream: "a{user" }],
      "auth.rules[0].stream has a brace without its counterpart; braces enclose placeholders.",
    ],
  ])("%j is refused with a sentence", (value, sentence) => {
    expect(messageOf(value)).toBe(sentence);
  });

  test("of more than 1,000 rules is refused with a sentence", () => {
    const rules = Array.from({ length: 1_001 }, () => ({ actions: ["read"] }));
    expect(messageOf(rules.slice(1))).toBe("");
    expect(messageOf(rules)).toBe(
      "auth.rules has 1001 rules; it may have 1000. Patterns with placeholders serve many users.",
    );
  });
});
