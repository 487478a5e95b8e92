import { describe, expect, test } from "vitest";
import {
  type DevelopmentToken,
  signDevelopmentToken,
} from "../../../src/rights/jwt/development-token.ts";
import type { JwtOptions } from "../../../src/rights/jwt/options.ts";
import { createTokenVerifier } from "../../../src/rights/jwt/token-verifier.ts";

const NOW_MS = 1_900_000_000_500;
const entry: JwtOptions = { algorithms: ["HS256"], secret: "s".repeat(64) };
const token: DevelopmentToken = { user: "ann", ttlMs: 3_600_000 };

/** Signs a token, and verifies it with the same entry. */
async function verified(options: JwtOptions, wanted: DevelopmentToken) {
  const signed = await signDevelopmentToken(options, wanted, NOW_MS);
  const verifier = createTokenVerifier([options], { clock: () => NOW_MS, onProblem: () => {} });
  return verifier.verify(signed);
}

describe("a token for development", () => {
  test("is accepted by its entry until its time is over", async () => {
    const { user, claims, expiresAtMs } = await verified(entry, token);
    expect(user).toBe("ann");
    expect(expiresAtMs).toBe(NOW_MS + 3_600_500);
    expect(claims).toEqual({ sub: "ann", iat: 1_900_000_000, exp: 1_900_003_601 });
  });

  test.each(["HS256", "HS384", "HS512"] as const)("may be signed with %s", async (algorithm) => {
    expect((await verified({ ...entry, algorithms: [algorithm] }, token)).user).toBe("ann");
  });

  test("has the issuer, audience, claim and prefix that the entry demands", async () => {
    const strict: JwtOptions = {
      ...entry,
      issuer: "https://id.example.com/",
      audience: ["one", "two"],
      user: "app.user.id",
      userPrefix: "app:",
    };
    expect((await verified(strict, token)).user).toBe("app:ann");
    expect((await verified(strict, { ...token, user: "app:ann" })).user).toBe("app:ann");
  });

  test("carries rules", async () => {
    const allow = [{ actions: ["write"], stream: "chat" }];
    for (const allowClaim of ["millrace", "app.constructor.allow", "https://example.com/allow"]) {
      const wanted = { ...token, allow };
      expect((await verified({ ...entry, allowClaim }, wanted)).allow).toMatchObject([
        { place: "token[0]", written: ["write"], stream: { text: "chat" } },
      ]);
    }
  });

  test.each<[string, JwtOptions, DevelopmentToken, string]>([
    [
      "an entry without a secret",
      { algorithms: ["RS256"], jwksUrl: "https://id.example.com/jwks" },
      token,
      "auth.jwt has no secret, so only its issuer can make tokens; it may have a secret, for development.",
    ],
    ["no user", entry, { ...token, user: "" }, "user is empty; it may be the id of a user."],
    [
      "a user that is nothing but the prefix",
      { ...entry, userPrefix: "app:" },
      { ...token, user: "app:" },
      "user is empty; it may be the id of a user.",
    ],
    ["no time", entry, { ...token, ttlMs: 0 }, "ttl is not a duration; it may be 1h."],
    [
      "rules that the entry does not read",
      entry,
      { ...token, allow: [] },
      "auth.jwt.allow_claim is missing, so tokens cannot carry rules; it may be the name of a claim.",
    ],
    [
      "invalid rules",
      { ...entry, allowClaim: "millrace" },
      { ...token, allow: [{ actions: ["fly"] }] },
      'allow[0].actions has an unknown action "fly"; it may be a list of subscribe, read, write, send, presence, work, admin, *.',
    ],
  ])("is refused for %s", async (_title, options, wanted, sentence) => {
    await expect(signDevelopmentToken(options, wanted, NOW_MS)).rejects.toThrow(sentence);
  });
});
