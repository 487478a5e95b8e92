import { beforeAll, describe, expect, test } from "vitest";
import type { JwtOptions } from "../../../src/rights/jwt/options.ts";
import { rightsOf } from "../../../src/rights/rights.ts";
import { readRules } from "../../../src/rights/rule.ts";
import {
  type Issuer,
  NOW,
  hmacToken,
  newIssuer,
  rawToken,
  sign,
} from "../../support/rights/issuer.ts";
import { refusal, verifier } from "../../support/rights/verification.ts";

const SECRET = "s".repeat(64);
const SECRET_BYTES = new TextEncoder().encode(SECRET);

let rsa: Issuer;
let issuer: Issuer;
const entry = (options: Partial<JwtOptions> = {}): JwtOptions => ({
  algorithms: ["ES256"],
  publicKey: issuer.pem,
  ...options,
});
const shared = (options: Partial<JwtOptions> = {}): JwtOptions => ({
  algorithms: ["HS256"],
  secret: SECRET,
  ...options,
});

beforeAll(async () => {
  [rsa, issuer] = await Promise.all([newIssuer("RS256"), newIssuer("ES256")]);
});

describe("a token", () => {
  test("gives the user, all claims and the time when it expires", async () => {
    const token = await issuer.sign({ sub: "ann", rooms: ["a"], exp: NOW + 60 });
    expect(await verifier([entry()]).verify(token)).toEqual({
      user: "ann",
      claims: { sub: "ann", rooms: ["a"], exp: NOW + 60 },
      acceptedUntilMs: (NOW + 60) * 1000,
      expiresAtMs: (NOW + 60) * 1000,
      allow: undefined,
    });
  });

  test.each(["RS384", "PS256", "ES384", "ES512", "EdDSA", "Ed25519"] as const)(
    "may be signed with %s",
    async (alg) => {
      const other = await newIssuer(alg);
      const entries = [entry({ algorithms: [alg], publicKey: other.pem })];
      expect((await verifier(entries).verify(await other.sign())).user).toBe("ann");
      expect(await refusal(await newIssuer(alg).then((each) => each.sign()), entries)).toBe(
        "The token has a signature that no key of its issuer made.",
      );
    },
  );

  test.each(["HS256", "HS384", "HS512"] as const)(
    "may be signed with %s and the secret",
    async (alg) => {
      const entries = [shared({ algorithms: [alg] })];
      const token = await sign({}, { alg }, SECRET_BYTES);
      expect((await verifier(entries).verify(token)).user).toBe("ann");
      const forged = await sign({}, { alg }, new TextEncoder().encode("t".repeat(64)));
      expect(await refusal(forged, entries)).toBe(
        "The token has a signature that no key of its issuer made.",
      );
    },
  );

  test("of another key of the same kind is refused", async () => {
    const token = await (await newIssuer("ES256")).sign();
    expect(await refusal(token, [entry()])).toBe(
      "The token has a signature that no key of its issuer made.",
    );
  });

  test("that was changed after it was signed is refused", async () => {
    const [header, , signature] = (await issuer.sign()).split(".");
    const claims = Buffer.from(JSON.stringify({ sub: "bob", exp: NOW + 9 })).toString("base64url");
    expect(await refusal([header, claims, signature].join("."), [entry()])).toBe(
      "The token has a signature that no key of its issuer made.",
    );
  });

  test.each(["none", "None", "NONE", "", "HS256", "RS256", "constructor", "__proto__"])(
    "with the algorithm %j, which the entry does not list, is refused",
    async (alg) => {
      const claims = JSON.stringify({ sub: "ann", exp: NOW + 60 });
      for (const signature of ["", "c2ln"]) {
        const token = rawToken(JSON.stringify({ alg }), claims, signature);
        expect(await refusal(token, [entry()])).toBe(
          "The token is signed with an algorithm (alg) that the service does not accept from its issuer.",
        );
      }
    },
  );

  test("with an HMAC over the public key is refused, even beside an entry with a secret", async () => {
    const token = (key: string) => {
      return hmacToken('{"alg":"HS256"}', JSON.stringify({ sub: "ann", exp: NOW + 60 }), key);
    };
    const entries = [entry({ algorithms: ["RS256"], publicKey: rsa.pem }), shared()];
    for (const key of [rsa.pem, rsa.pem.trim(), JSON.stringify(rsa.jwk)]) {
      expect(await refusal(token(key), entries)).toBe(
        "The token has a signature that no key of its issuer made.",
      );
    }
    expect((await verifier(entries).verify(token(SECRET))).user).toBe("ann");
  });

  test.each([
    ["no claim aud", {}],
    ["another audience", { aud: "other" }],
    ["a list of others", { aud: ["other", "millrace2"] }],
    ["an audience that is an object", { aud: { millrace: true } }],
  ])("with %s is refused", async (_title, claims) => {
    expect(await refusal(await issuer.sign(claims), [entry({ audience: "millrace" })])).toBe(
      "The token is for another audience (claim aud); it may be one for this service.",
    );
  });

  test("may have one of several audiences, in a list too", async () => {
    const { verify } = verifier([entry({ audience: ["millrace", "chat"] })]);
    for (const aud of ["chat", ["other", "millrace"]])
      expect((await verify(await issuer.sign({ aud }))).user).toBe("ann");
  });

  test.each([
    ["no claim iss", {}],
    ["another issuer", { iss: "https://evil.example.com/" }],
    ["a list with the issuer", { iss: ["https://id.example.com/"] }],
  ])("with %s is refused", async (_title, claims) => {
    expect(
      await refusal(await issuer.sign(claims), [entry({ issuer: "https://id.example.com/" })]),
    ).toBe("The token is from another issuer (claim iss) than those that the service accepts.");
  });

  test("expires at exp to the millisecond, or the leeway later", async () => {
    const token = await issuer.sign({ exp: NOW + 1 });
    const atMs = (NOW + 1) * 1000;
    expect((await verifier([entry()], atMs - 1).verify(token)).expiresAtMs).toBe(atMs);
    expect(await refusal(token, [entry()], atMs)).toBe(
      "The token has expired (claim exp); present a newer one.",
    );
    // What it opens still ends at exp itself.
    const lenient = entry({ leewayMs: 30_000 });
    expect(await verifier([lenient], atMs + 29_999).verify(token)).toMatchObject({
      expiresAtMs: atMs,
      acceptedUntilMs: atMs + 30_000,
    });
    expect(await refusal(token, [lenient], atMs + 30_000)).toBe(
      "The token has expired (claim exp); present a newer one.",
    );
    const fraction = await issuer.sign({ exp: NOW + 1.5 });
    expect((await verifier([entry()], atMs + 499).verify(fraction)).expiresAtMs).toBe(atMs + 500);
    expect(await refusal(fraction, [entry()], atMs + 500)).toContain("expired");
  });

  test("is valid from nbf on, or the leeway earlier", async () => {
    const token = await issuer.sign({ nbf: NOW + 10 });
    expect(await refusal(token, [entry()], (NOW + 10) * 1000 - 1)).toBe(
      "The token is not valid yet (claim nbf); present it later.",
    );
    expect((await verifier([entry()], (NOW + 10) * 1000).verify(token)).user).toBe("ann");
    const lenient = entry({ leewayMs: 10_000 });
    expect((await verifier([lenient], NOW * 1000).verify(token)).user).toBe("ann");
    expect(await refusal(token, [lenient], NOW * 1000 - 1)).toContain("not valid yet");
  });

  test.each([
    [
      "no exp",
      { exp: undefined },
      "The token has no claim exp; it may be the time when it expires, in Unix seconds.",
    ],
    [
      "an exp that is text",
      { exp: String(NOW + 60) },
      "The token has an invalid claim exp; it may be a time in Unix seconds.",
    ],
    [
      "an exp that is null",
      { exp: null },
      "The token has an invalid claim exp; it may be a time in Unix seconds.",
    ],
    [
      "an exp beyond all dates",
      { exp: 1e300 },
      "The token's claim exp is no date; it may be Unix seconds.",
    ],
    [
      "an nbf that is text",
      { nbf: "0" },
      "The token has an invalid claim nbf; it may be a time in Unix seconds.",
    ],
  ])("with %s is refused", async (_title, claims, sentence) => {
    expect(await refusal(await issuer.sign(claims), [entry()])).toBe(sentence);
  });

  test("with an infinite exp is refused", async () => {
    const token = hmacToken('{"alg":"HS256"}', '{"sub":"ann","exp":1e999}', SECRET);
    expect(await refusal(token, [shared()])).toBe(
      "The token's claim exp is no date; it may be Unix seconds.",
    );
  });

  test("of more than 16 KiB is refused before anything reads it", async () => {
    const big = await issuer.sign({ padding: "x".repeat(100_000) });
    for (const token of [big, "x".repeat(16 * 1024 + 1), ".".repeat(100_000)])
      expect(await refusal(token, [entry()])).toBe(
        "The token is too large; it may have 16384 bytes.",
      );
    const fitting = await issuer.sign({ padding: "x".repeat(12_000) });
    expect((await verifier([entry()]).verify(fitting)).user).toBe("ann");
  });

  test.each([
    ["nothing", ""],
    ["a word", "token"],
    ["two parts", "e30.e30"],
    ["five parts (encrypted)", "e30.e30.e30.e30.e30"],
    ["a part with a space", "e30.e30 .e30"],
    ["parts that are no JSON", "YQ.YQ.YQ"],
    ["a header that is a list", rawToken("[]", "{}")],
    ["claims that are a list", rawToken('{"alg":"ES256"}', "[]")],
    ["claims that are text", rawToken('{"alg":"ES256"}', '"a"')],
    [
      "claims in broken UTF-8",
      `${rawToken('{"alg":"ES256"}', "{}").split(".")[0]}.eyJhIjoi_yJ9.c2ln`,
    ],
    [
      "claims with 129 levels",
      rawToken('{"alg":"ES256"}', `{"a":${"[".repeat(128)}${"]".repeat(128)}}`),
    ],
  ])("of %s is malformed", async (_title, token) => {
    expect(await refusal(token, [entry()])).toBe(
      "The token is malformed; it may be a signed JWT: header, claims and signature in base64url.",
    );
  });

  test.each([
    '{"sub":"ann","exp":9e9,"__proto__":{"admin":true}}',
    '{"sub":"ann","a":[{"__proto__":1}]}',
  ])("with a key __proto__ in the claims %s is refused", async (claims) => {
    const token = hmacToken('{"alg":"HS256"}', claims, SECRET);
    expect(await refusal(token, [shared()])).toBe(
      "The token has a claim with the key __proto__; claims may have any other key.",
    );
    expect(Object.prototype).not.toHaveProperty("admin");
  });

  test("with critical headers is refused", async () => {
    const header = '{"alg":"HS256","crit":["exp2"],"exp2":1}';
    const token = hmacToken(header, `{"sub":"ann","exp":${NOW + 9}}`, SECRET);
    expect(await refusal(token, [shared()])).toBe(
      "The token has critical headers (crit), of which the service knows none; it may have no crit.",
    );
  });
});

describe("the user of a token", () => {
  test.each<[Record<string, unknown>, Partial<JwtOptions>, string]>([
    [{ sub: "ann" }, { userPrefix: "app:" }, "app:ann"],
    [{ sub: 42 }, {}, "42"],
    [{ sub: "x", app: { user_id: "u1" } }, { user: "app.user_id" }, "u1"],
    [{ "https://example.com/id": "u2" }, { user: "https://example.com/id" }, "u2"],
    [{ sub: "*" }, {}, "*"],
    [{ sub: "é".repeat(128) }, {}, "é".repeat(128)],
  ])("of %j with %j is %j", async (claims, options, user) => {
    expect((await verifier([entry(options)]).verify(await issuer.sign(claims))).user).toBe(user);
  });

  const missing =
    "The token has no user id in claim sub; it may be text or an integer that makes an id of 1 to 256 bytes.";
  const invalid =
    "The token has an invalid user id in claim sub; it may be text or an integer that makes an id of 1 to 256 bytes.";
  test.each<[string, unknown, string]>([
    ["absent", undefined, missing],
    ["empty", "", missing],
    ["null", null, missing],
    ["an object", { id: 1 }, missing],
    ["a list", ["ann"], missing],
    ["a truth value", true, missing],
    ["an integer that JSON rounds", 2 ** 53, missing],
    ["of 257 bytes", `a${"é".repeat(128)}`, invalid],
    ["with a line break", "ann\nbob", invalid],
  ])("is missing or invalid when the claim is %s", async (_title, sub, sentence) => {
    expect(await refusal(await issuer.sign({ sub }), [entry({ userPrefix: "" })])).toBe(sentence);
  });

  test("counts with its prefix", async () => {
    const token = await issuer.sign({ sub: "a".repeat(253) });
    expect(await refusal(token, [entry({ userPrefix: "app:" })])).toBe(invalid);
  });
});

describe("the rules of a token", () => {
  test("are those of the claim that the entry names", async () => {
    const rules = [{ actions: ["read"], stream: "chat", group: "{user}" }];
    const token = await issuer.sign({ millrace: rules, other: "x" });
    expect((await verifier([entry()]).verify(token)).allow).toBeUndefined();
    // An empty list takes rights away; it is not as if there were none.
    const nothing = await issuer.sign({ millrace: [] });
    const { allow: empty } = await verifier([entry({ allowClaim: "millrace" })]).verify(nothing);
    expect(empty).toEqual([]);
    const { allow } = await verifier([entry({ allowClaim: "millrace" })]).verify(token);
    expect(allow).toMatchObject([{ place: "token[0]", written: ["read"] }]);
    expect((await verifier([entry({ allowClaim: "none" })]).verify(token)).allow).toBeUndefined();
  });

  test.each([
    [{ millrace: "*" }, "token"],
    [{ millrace: null }, "token"],
    [{ millrace: [{ actions: ["read"], secret: "x" }] }, "token[0]"],
    [{ millrace: [{ actions: ["fly"] }] }, "token[0].actions"],
    [{ millrace: [{ actions: ["read"], group: "{me}" }] }, "token[0].group"],
  ])("that are invalid (%j) refuse the token without being quoted", async (claims, place) => {
    const sentence = await refusal(await issuer.sign(claims), [entry({ allowClaim: "millrace" })]);
    expect(sentence).toBe(
      `The token's claim millrace has invalid rules (${place}); it may be a list of {actions, stream?, group?, item?}.`,
    );
  });

  test("take a claim that looks like a pattern literally", async () => {
    const token = await issuer.sign({ sub: "*", rooms: ["*", "a*"] });
    const caller = await verifier([entry()]).verify(token);
    const rules = readRules(
      [{ actions: ["read"], group: "{claims.rooms}", item: "{user}" }],
      "rules",
    );
    const rights = rightsOf(rules, caller);
    expect(rights.allowing("read", { group: "a", item: "*" })).toBeUndefined();
    expect(rights.allowing("read", { group: "a*", item: "ann" })).toBeUndefined();
    expect(rights.allowing("read", { group: "a*" })).toBeUndefined();
    expect(rights.allowing("read", { group: "a*", item: "*" })).toBeDefined();
  });
});
