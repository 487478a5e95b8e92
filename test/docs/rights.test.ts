import { describe, expect, it } from "vitest";
import { ACTIONS } from "../../src/rights/action.ts";
import type { Action } from "../../src/rights/action.ts";
import { decide } from "../../src/server/commands/may.ts";
import { developmentToken } from "../../src/server/commands/token.ts";
import { toServerOptions } from "../../src/server/config/options.ts";
import { load } from "../server/config/loading.ts";
import { type Snippet, codesOf, placeOf, readMarkdown, tableAfter } from "./markdown.ts";

const { text, snippets } = await readMarkdown("docs/rights.md");
const recipes = snippets.filter(({ language }) => language === "yaml");
const ISSUER = '  jwt: [{ algorithms: [HS256], secret: "0123456789abcdef0123456789abcdef" }]\n';

/** The claims of the users in the recipes. */
const CLAIMS: Readonly<Record<string, string>> = {
  ann: '{"rooms":["attic"]}',
  bob: '{"rooms":["cellar"]}',
  mod: '{"moderates":"rooms"}',
};

/** The answer to a question such as `ann read rooms attic`. */
async function answer(recipe: Snippet, question: string): Promise<boolean> {
  const [who = "", action, stream, group, item] = question.split(" ");
  const loaded = await load({ yaml: recipe.code.replace("auth:\n", `auth:\n${ISSUER}`) });
  const { jwt = [] } = toServerOptions(loaded.config).auth;
  const claims = CLAIMS[who];
  const credential =
    claims === undefined
      ? who === "anonymous"
        ? undefined
        : who
      : await developmentToken(jwt, { user: who, ttl: "1h", claims }, Date.now());
  const resource = { stream, group, item };
  return (await decide(loaded, credential, action as Action, resource)).isYes;
}

describe("docs/rights.md", () => {
  it("has a row for every action that calls need", () => {
    const rows = tableAfter(text, "What each kind of caller may do").map(([action = ""]) =>
      codesOf(action).join(),
    );
    const others = ACTIONS.filter((action) => !rows.includes(action));
    expect(rows).toEqual(ACTIONS.filter((action) => rows.includes(action)));
    for (const action of others) expect(text).toContain(`\`${action}\``);
  });

  it.each(recipes.map((recipe) => [placeOf(recipe), recipe] as const))(
    "has in %s a recipe that allows and refuses what it is for, without a warning",
    async (_, recipe) => {
      const asked = recipe.marks.map((mark) => mark.split(": ") as [string, string]);
      expect(asked.map(([expected]) => expected)).toContain("yes");
      expect(asked.map(([expected]) => expected)).toContain("no");
      for (const [expected, question] of asked)
        expect([question, (await answer(recipe, question)) ? "yes" : "no"]).toEqual([
          question,
          expected,
        ]);
      const yaml = recipe.code.replace("auth:\n", `auth:\n${ISSUER}`);
      expect((await load({ yaml })).warnings).toEqual([]);
    },
  );

  it("shows what millrace may prints", async () => {
    const yaml = /^cat > rooms\.yaml <<'END'\n([^]*?)END$/m.exec(text)?.[1] ?? "";
    const environment = {
      BACKEND_KEY: "mk_backend",
      JWT_SECRET: "0123456789abcdef0123456789abcdef",
    };
    const loaded = await load({ yaml, environment });
    const { jwt = [] } = toServerOptions(loaded.config).auth;
    const flags = { user: "ann", ttl: "1h", claims: CLAIMS["ann"] ?? "" };
    const token = await developmentToken(jwt, flags, Date.now());
    const resource = { stream: "rooms", group: "attic", item: "m1" };
    const { reason } = await decide(loaded, token, "read", resource);
    const shown = snippets.find(({ language }) => language === "text")?.code;
    expect(shown).toBe(`yes: ${reason.replace("millrace.yaml", "rooms.yaml")}`);
  });
});
