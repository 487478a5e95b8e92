import { type KeyObject, generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type JwtOptions, doubtsAboutJwt } from "../../../src/rights/jwt/options.ts";
import { createTokenVerifier } from "../../../src/rights/jwt/token-verifier.ts";
import { SettingError } from "../../../src/rights/setting-error.ts";

const pemOf = (key: KeyObject) => key.export({ type: "spki", format: "pem" }).toString();
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const EC = pemOf(ec.publicKey);
const P384 = pemOf(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey);
const ED25519 = pemOf(generateKeyPairSync("ed25519").publicKey);
const SHORT_RSA = pemOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey);
/** Of a P-256 key, self-signed. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUYRY5QyYTJQYwQCuqNWpJP7n2CvAwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOaWQuZXhhbXBsZS5jb20wIBcNMjYxMTI4MTQzMTM3WhgPMjEy
NjExMDQxNDMxMzdaMBkxFzAVBgNVBAMMDmlkLmV4YW1wbGUuY29tMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAE0rA0jcfUADS+fvyu39Qbm0+Q2aRZw/yIwEOfEVYR
93RkbztBVt05LIcva9l7es2rF8OvinLVoHlyjcbDyi37t6NTMFEwHQYDVR0OBBYE
FFr9V+UPx/HJBh/xKVG+BSlCm/VlMB8GA1UdIwQYMBaAFFr9V+UPx/HJBh/xKVG+
BSlCm/VlMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAOqHRIUH
GUUZcHo7Cg+BuDyClYYOnn9Q84qTvfpe9a6vAiA5ezfJHPuqkXtCx5A01RIhr+zM
OSkCyqbCGn8zmHwlkA==
-----END CERTIFICATE-----`;
const URL = "https://id.example.com/jwks";

/** Sentence of the refusal of an entry; empty when it is accepted. */
function refusal(options: unknown): string {
  try {
    createTokenVerifier([options as JwtOptions], { clock: () => 0, onProblem: () => {} });
  } catch (error) {
    if (error instanceof SettingError) return error.message;
    throw error;
  }
  return "";
}

describe("an entry of auth.jwt", () => {
  test.each<[string, JwtOptions]>([
    ["keys at a URL", { algorithms: ["RS256", "ES256"], jwksUrl: URL }],
    ["a public key", { algorithms: ["ES256"], publicKey: EC }],
    ["a certificate", { algorithms: ["ES256"], publicKey: CERTIFICATE }],
    ["an Ed25519 key under both names", { algorithms: ["EdDSA", "Ed25519"], publicKey: ED25519 }],
    ["a secret of just enough bytes", { algorithms: ["HS256"], secret: "é".repeat(16) }],
    [
      "all options",
      {
        algorithms: ["RS256"],
        jwksUrl: URL,
        issuer: "https://id.example.com/",
        audience: ["a", "b"],
        user: "app.id",
        userPrefix: "app:",
        allowClaim: "https://example.com/allow",
        leewayMs: 30_000,
      },
    ],
  ])("may have %s", (_title, options) => {
    expect(refusal(options)).toBe("");
  });

  const all =
    "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519, HS256, HS384, HS512";
  test.each<[string, unknown, string]>([
    [
      "no algorithm",
      { algorithms: [], jwksUrl: URL },
      `.algorithms is empty; it may be a list of ${all}.`,
    ],
    ...["none", "HS1", "constructor", "RSA-OAEP", 1].map((algorithm): [string, unknown, string] => [
      `the algorithm ${algorithm}`,
      { algorithms: [algorithm], jwksUrl: URL },
      `.algorithms has an unknown algorithm; it may be a list of ${all}.`,
    ]),
    [
      "HMAC with a public key",
      { algorithms: ["ES256", "HS256"], publicKey: EC },
      ".algorithms has HS256, which needs a secret; with a public key it may be RS256 or ES256, for example.",
    ],
    [
      "HMAC with published keys",
      { algorithms: ["HS256"], jwksUrl: URL },
      ".algorithms has HS256, which needs a secret; with a public key it may be RS256 or ES256, for example.",
    ],
    [
      "RSA with a secret",
      { algorithms: ["HS256", "RS256"], secret: "s".repeat(32) },
      ".algorithms has RS256, which needs a public key; with a secret it may be HS256, HS384 and HS512.",
    ],
    [
      "no key",
      { algorithms: ["RS256"] },
      " has no key; it may have exactly one of jwks_url, public_key_file and secret.",
    ],
    [
      "two keys",
      { algorithms: ["ES256"], jwksUrl: URL, publicKey: EC },
      " has jwks_url and public_key_file; it may have exactly one of jwks_url, public_key_file and secret.",
    ],
    [
      "a short secret",
      { algorithms: ["HS256"], secret: "s".repeat(31) },
      ".secret has 31 bytes, too few for HS256; it may be 32 bytes or longer.",
    ],
    [
      "a secret that is short for one of its algorithms",
      { algorithms: ["HS256", "HS384", "HS512"], secret: "s".repeat(63) },
      ".secret has 63 bytes, too few for HS512; it may be 64 bytes or longer.",
    ],
    [
      "a public key as secret",
      { algorithms: ["HS256"], secret: EC },
      ".secret is a PEM file; keys like this belong in public_key_file.",
    ],
    [
      "a private key",
      { algorithms: ["ES256"], publicKey: ec.privateKey.export({ type: "pkcs8", format: "pem" }) },
      ".public_key_file holds a private key; it may hold the public key only.",
    ],
    [
      "a key that is none",
      { algorithms: ["ES256"], publicKey: "key" },
      ".public_key_file holds no public key; it may hold one, or a certificate, in PEM.",
    ],
    [
      "an EC key for RSA",
      { algorithms: ["RS256"], publicKey: EC },
      ".public_key_file holds a key of another kind than RS256 needs; algorithms may list those of the key.",
    ],
    [
      "a key on another curve",
      { algorithms: ["ES256"], publicKey: P384 },
      ".public_key_file holds a key of another kind than ES256 needs; algorithms may list those of the key.",
    ],
    [
      "a key for only one of its algorithms",
      { algorithms: ["ES256", "EdDSA"], publicKey: EC },
      ".public_key_file holds a key of another kind than EdDSA needs; algorithms may list those of the key.",
    ],
    [
      "a short RSA key",
      { algorithms: ["RS256"], publicKey: SHORT_RSA },
      ".public_key_file holds a key of 1024 bits; it may hold one of 2048 bits or more.",
    ],
    [
      "no URL",
      { algorithms: ["RS256"], jwksUrl: "id.example.com" },
      ".jwks_url is not a URL of the web; it may begin with https:.",
    ],
    [
      "the URL of a file",
      { algorithms: ["RS256"], jwksUrl: "file:///etc/jwks.json" },
      ".jwks_url is not a URL of the web; it may begin with https:.",
    ],
    [
      "a URL with a password",
      { algorithms: ["RS256"], jwksUrl: "https://u:p@id.example.com/" },
      ".jwks_url has a user name or password; it may be a URL without them.",
    ],
    [
      "an empty issuer",
      { algorithms: ["RS256"], jwksUrl: URL, issuer: "" },
      ".issuer is empty; it may be an iss claim.",
    ],
    ...["", [], ["a", ""]].map((audience): [string, unknown, string] => [
      `the audience ${JSON.stringify(audience)}`,
      { algorithms: ["RS256"], jwksUrl: URL, audience },
      ".audience is empty; it may be one or several aud claims.",
    ]),
    ...["", "a..b", ".a", "a.__proto__.b"].map((user): [string, unknown, string] => [
      `the user claim ${JSON.stringify(user)}`,
      { algorithms: ["RS256"], jwksUrl: URL, user },
      ".user is not the path of a claim; it may be sub, or app.user_id.",
    ]),
    [
      "an empty allow_claim",
      { algorithms: ["RS256"], jwksUrl: URL, allowClaim: "" },
      ".allow_claim is not the path of a claim; it may be sub, or app.user_id.",
    ],
    ...[-1, Number.NaN, Infinity].map((leewayMs): [string, unknown, string] => [
      `the leeway ${leewayMs}`,
      { algorithms: ["RS256"], jwksUrl: URL, leewayMs },
      ".leeway is not a duration; it may be 30s.",
    ]),
  ])("with %s is refused with a sentence", (_title, options, sentence) => {
    expect(refusal(options)).toBe(`auth.jwt[0]${sentence}`);
  });
});

describe("doubts about an entry", () => {
  test.each<[JwtOptions, string[]]>([
    [{ algorithms: ["RS256"], jwksUrl: URL, audience: "millrace" }, []],
    [{ algorithms: ["RS256"], jwksUrl: "http://127.0.0.1:8080/jwks", audience: "a" }, []],
    [{ algorithms: ["HS256"], secret: "s".repeat(32) }, []],
    [
      { algorithms: ["RS256"], jwksUrl: "http://id.example.com/jwks" },
      [
        "auth.jwt[0] has no audience, so it accepts tokens that the issuer made for other applications.",
        "auth.jwt[0].jwks_url is not encrypted, so the network can exchange the keys; it may begin with https:.",
      ],
    ],
  ])("of %j are %j", (options, doubts) => {
    expect(doubtsAboutJwt(options, "auth.jwt[0]")).toEqual(doubts);
  });
});
