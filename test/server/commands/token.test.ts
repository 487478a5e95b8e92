import { describe, expect, it } from "vitest";
import type { JwtOptions } from "../../../src/rights/jwt/options.ts";
import { createTokenVerifier } from "../../../src/rights/jwt/token-verifier.ts";
import { type TokenFlags, developmentToken } from "../../../src/server/commands/token.ts";

const NOW_MS = 1_900_000_000_000;
const flags: TokenFlags = { user: "ann", ttl: "1h" };
const remote: JwtOptions = { algorithms: ["RS256"], jwksUrl: "https://id.example.com/jwks" };
const plain: JwtOptions = { algorithms: ["HS256"], secret: "a".repeat(32) };
const allowing: JwtOptions = {
  ...{ algorithms: ["HS256"], secret: "b".repeat(32), allowClaim: "app.allow" },
  ...{ userPrefix: "app:", issuer: "https://id.example.com/" },
};
const entries = [remote, plain, allowing];

/** What the service reads from the token that the command makes. */
async function verified(given: TokenFlags, all = entries) {
  const token = await developmentToken(all, given, NOW_MS);
  const verifier = createTokenVerifier(all, { clock: () => NOW_MS, onProblem: () => {} });
  return verifier.verify(token);
}

const rulesOf = async (...allow: string[]) =>
  ((await verified({ ...flags, allow })).allow ?? []).map(({ written, stream, group, item }) =>
    [written.join(), stream.text, group.text, item.text].join(" "),
  );

describe("millrace token", () => {
  it("signs with the first secret of auth.jwt", async () => {
    expect(await verified({ ...flags, claims: '{"rooms":["a"]}' })).toMatchObject({
      user: "ann",
      claims: { rooms: ["a"] },
      expiresAtMs: NOW_MS + 3_600_000,
      allow: undefined,
    });
  });

  it("signs with a secret whose tokens carry rules, when it is given rules", async () => {
    expect((await verified({ ...flags, allow: ["read"] })).user).toBe("app:ann");
  });

  it("reads rules in their short form and as JSON", async () => {
    expect(await rulesOf("read")).toEqual(["read * * *"]);
    expect(await rulesOf("read, write:chat/{user}/m*", "*:notes")).toEqual([
      "read,write chat {user} m*",
      "* notes * *",
    ]);
    expect(
      await rulesOf(
        '[{"actions":["send"],"group":"a/b"},{"actions":["work"]}]',
        ' {"actions":["admin"]}',
      ),
    ).toEqual(["send * a/b *", "work * * *", "admin * * *"]);
  });

  it("lets no claim replace the user and the expiry", async () => {
    const claims = '{"sub":"bob","exp":1,"iat":"x","iss":"x"}';
    expect(await verified({ ...flags, claims })).toMatchObject({
      user: "ann",
      expiresAtMs: NOW_MS + 3_600_000,
    });
  });

  it.each<readonly [string, TokenFlags, readonly JwtOptions[], string]>([
    [
      "no entry with a secret",
      flags,
      [remote],
      "auth.jwt has no entry with a secret, so only the issuers can make tokens; for development, it may have an entry with algorithms: [HS256] and a secret.",
    ],
    [
      "rules, and no entry that carries them",
      { ...flags, allow: ["read"] },
      [remote, plain],
      "auth.jwt[1].allow_claim is missing, so tokens cannot carry rules; it may be the name of a claim.",
    ],
    ["a bare number", { ...flags, ttl: "60" }, entries, "ttl is not a duration; it may be 1h."],
    ["no time", { ...flags, ttl: "0s" }, entries, "ttl is not a duration; it may be 1h."],
    [
      "an unknown action",
      { ...flags, allow: ["raed:chat"] },
      entries,
      'allow[0].actions has an unknown action "raed"; did you mean read?',
    ],
    [
      "too many patterns",
      { ...flags, allow: ["read:a/b/c/d"] },
      entries,
      "allow has more than three patterns; it may be read,write:STREAM/GROUP/ITEM, or JSON where names have slashes.",
    ],
    [
      "half of JSON",
      { ...flags, allow: ['[{"actions"'] },
      entries,
      "allow is not JSON; quote it for the shell, as in '{\"a\":1}'.",
    ],
    [
      "claims that are a list",
      { ...flags, claims: "[]" },
      entries,
      'claims is not an object; it may be JSON such as {"rooms":["a"]}.',
    ],
    [
      "a claim in the way of the rules",
      { ...flags, allow: ["read"], claims: '{"app":1}' },
      entries,
      "claims has app, which is not an object; it may be one, because the token needs app.allow.",
    ],
    [
      "an id that is too long",
      { ...flags, user: "u".repeat(257) },
      entries,
      "The token has an invalid user id in claim sub; it may be text or an integer that makes an id of 1 to 256 bytes.",
    ],
  ])("refuses %s", async (_, given, all, sentence) => {
    await expect(developmentToken(all, given, NOW_MS)).rejects.toThrow(sentence);
  });
});
