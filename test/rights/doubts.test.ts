import { describe, expect, test } from "vitest";
import { type RuleHolder, doubtsAbout } from "../../src/rights/doubts.ts";
import { readRules } from "../../src/rights/rule.ts";

function doubts(holder: RuleHolder, rule: unknown): string[] {
  return readRules([rule], "rules").flatMap((each) => doubtsAbout(each, holder));
}

describe("doubts about a rule", () => {
  test.each<[RuleHolder, unknown]>([
    ["users", { actions: ["subscribe", "read", "write", "send"], stream: "c", group: "{user}" }],
    ["users", { actions: ["write"], stream: "profiles", group: "all", item: "{user}" }],
    ["users", { actions: ["subscribe", "read", "presence"] }],
    ["users", { actions: ["read"], group: "{user}/*" }],
    ["anonymous", { actions: ["subscribe"], stream: "public-*" }],
    ["anonymous", { actions: ["send"], stream: "feedback" }],
    ["key", { actions: ["*"] }],
    ["key", { actions: ["work"] }],
    ["key", { actions: ["read", "subscribe"] }],
  ])("do not arise for %s with %j", (holder, rule) => {
    expect(doubts(holder, rule)).toEqual([]);
  });

  test.each<[RuleHolder, unknown, string[]]>([
    [
      "anonymous",
      { actions: ["read"], stream: "s", group: "{user}" },
      [
        "rules[0].group is {user}, which never matches: anonymous callers have neither user, claims nor context.",
      ],
    ],
    [
      "key",
      { actions: ["read"], item: "{claims.a}" },
      [
        "rules[0].item is {claims.a}, which never matches: callers with a key have neither user, claims nor context.",
      ],
    ],
    [
      "users",
      { actions: ["read"], group: "a\nb" },
      ["rules[0].group never matches: names have no control characters."],
    ],
    [
      "users",
      { actions: ["read"], group: `${"é".repeat(129)}{user}` },
      ["rules[0].group never matches: names have at most 256 bytes."],
    ],
    [
      "users",
      { actions: ["presence"], stream: "s", item: "a" },
      [
        "rules[0] never allows presence: it is about a whole group, so it needs a rule without item.",
      ],
    ],
    [
      "key",
      { actions: ["work"], stream: "s" },
      [
        "rules[0] never lets a worker connect: action work is about the whole service, so it needs a rule without stream, group and item. It still allows all other actions here.",
      ],
    ],
    ...["{user}*", "x-{user}{claims.a}"].map((group): [RuleHolder, unknown, string[]] => [
      "users",
      { actions: ["read"], group },
      [
        `rules[0].group is ${group}, which may match names of other users, as {user}* of ann matches anna; put a character that ids never contain after each placeholder, as in {user}/*.`,
      ],
    ]),
    [
      "users",
      { actions: ["*"], stream: "s" },
      ["rules[0] lets every user do everything, work and admin included (*)."],
    ],
    [
      "users",
      { actions: ["work"] },
      ["rules[0] lets every user do everything, which work implies."],
    ],
    [
      "users",
      { actions: ["admin"] },
      ["rules[0] lets every user observe and end the subscriptions of others (admin)."],
    ],
    [
      "users",
      { actions: ["write"] },
      ["rules[0] lets every user write everywhere; it may name a stream."],
    ],
    [
      "anonymous",
      { actions: ["*"], stream: "s" },
      ["rules[0] lets anybody, without credentials, do everything, work and admin included (*)."],
    ],
    [
      "anonymous",
      { actions: ["read", "send"], group: "lobby" },
      [
        "rules[0] lets anybody, without credentials, read in all streams; it may name a stream.",
        "rules[0] lets anybody, without credentials, send in all streams; it may name a stream.",
      ],
    ],
  ])("arise for %s with %j", (holder, rule, sentences) => {
    expect(doubts(holder, rule)).toEqual(sentences);
  });
});
