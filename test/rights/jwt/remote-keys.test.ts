import { generateKeyPairSync } from "node:crypto";
import type { ServerResponse } from "node:http";
import { type JWK, exportJWK, generateSecret } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import type { JwtOptions } from "../../../src/rights/jwt/options.ts";
import { type TokenVerifier, createTokenVerifier } from "../../../src/rights/jwt/token-verifier.ts";
import { type Issuer, NOW, newIssuer, sign } from "../../support/rights/issuer.ts";
import { type JwksServer, jwksServer } from "../../support/rights/jwks-server.ts";

const MINUTE = 60_000;

let one: Issuer;
let two: Issuer;
let server: JwksServer;
let nowMs: number;
let problems: string[];
let verifier: TokenVerifier;

/** A verifier for the tokens of the server's issuer. */
function verifierOf(options: Partial<JwtOptions> = {}, fetchTimeoutMs?: number): TokenVerifier {
  return createTokenVerifier([{ algorithms: ["ES256"], jwksUrl: server.url, ...options }], {
    clock: () => nowMs,
    fetchTimeoutMs,
    onProblem: (sentence) => problems.push(sentence),
  });
}

async function refusal(token: string, by = verifier): Promise<StreamError> {
  const error: unknown = await by.verify(token).then(
    () => new Error("The token was accepted."),
    (reason: unknown) => reason,
  );
  if (error instanceof StreamError && error.reason === "AUTH_REFUSED") return error;
  throw error;
}

const UNKNOWN_KEY = "The token is signed with a key that its issuer does not publish.";
const UNAVAILABLE =
  "The token cannot be verified now, because the keys of its issuer cannot be fetched; try again.";

beforeAll(async () => {
  [one, two] = await Promise.all([newIssuer("ES256", "one"), newIssuer("ES256", "two")]);
});

beforeEach(async () => {
  server = await jwksServer(one.jwk);
  nowMs = NOW * 1000;
  problems = [];
  verifier = verifierOf();
});

afterEach(() => server.stop());

describe("published keys", () => {
  test("are fetched when first needed, once for concurrent tokens", async () => {
    expect(server.requests).toBe(0);
    const tokens = await Promise.all(Array.from({ length: 20 }, () => one.sign()));
    const users = await Promise.all(tokens.map((token) => verifier.verify(token)));
    expect(users.map(({ user }) => user)).toEqual(new Array(20).fill("ann"));
    expect(server.requests).toBe(1);
  });

  test("refuse a key id from elsewhere, and are fetched for it at most every 30 s", async () => {
    const token = await two.sign();
    expect(await refusal(token)).toMatchObject({ message: UNKNOWN_KEY, retryable: false });
    expect(server.requests).toBe(1);
    // Whether the key is new cannot be known before the next fetch is due.
    nowMs += 29_999;
    for (let i = 0; i < 5; i++) expect(await refusal(token)).toMatchObject({ retryable: true });
    expect(server.requests).toBe(1);
    nowMs += 1;
    const refusals = await Promise.all([1, 2, 3].map(() => refusal(token)));
    for (const each of refusals) expect(each).toMatchObject({ message: UNKNOWN_KEY });
    expect(server.requests).toBe(2);
    expect((await verifier.verify(await one.sign())).user).toBe("ann");
    expect(problems).toEqual([]);
  });

  test("refuse another key under a published id", async () => {
    const forged = await sign({}, { alg: "ES256", kid: "one" }, two.privateKey);
    expect(await refusal(forged)).toMatchObject({
      message: "The token has a signature that no key of its issuer made.",
      retryable: false,
    });
  });

  test("rotate: a new key is accepted after one fetch, and the old one no longer", async () => {
    await verifier.verify(await one.sign());
    server.publish(two.jwk);
    nowMs += 30_000;
    expect((await verifier.verify(await two.sign())).user).toBe("ann");
    expect(server.requests).toBe(2);
    expect((await refusal(await one.sign())).message).toContain("does not publish");
  });

  test("rotate without key ids: an unknown signature is a reason to fetch them, too", async () => {
    const token = (key: Issuer) => sign({}, { alg: "ES256" }, key.privateKey);
    const { kid: _one, ...first } = one.jwk;
    const { kid: _two, ...second } = two.jwk;
    server.publish(first);
    expect((await verifier.verify(await token(one))).user).toBe("ann");
    server.publish(second);
    nowMs += 29_999;
    expect((await refusal(await token(two))).message).toContain("signature");
    expect(server.requests).toBe(1);
    nowMs += 1;
    expect((await verifier.verify(await token(two))).user).toBe("ann");
    expect(server.requests).toBe(2);
    expect((await refusal(await token(one))).message).toContain("signature");
  });

  test("are refreshed in the background after 10 minutes", async () => {
    await verifier.verify(await one.sign());
    nowMs += 10 * MINUTE - 1;
    await verifier.verify(await one.sign());
    expect(server.requests).toBe(1);
    const asked = new Promise<ServerResponse>((resolve) => {
      server.respond(resolve);
    });
    nowMs += 1;
    // The tokens do not wait for the response.
    for (let i = 0; i < 3; i++) expect((await verifier.verify(await one.sign())).user).toBe("ann");
    const response = await asked;
    expect(server.requests).toBe(2);
    response.end(JSON.stringify({ keys: [two.jwk] }));
    // The token with the new key waits for the fetch under way.
    expect((await verifier.verify(await two.sign())).user).toBe("ann");
    expect(server.requests).toBe(2);
  });

  test("remain in use while the issuer is down, however long", async () => {
    await verifier.verify(await one.sign());
    await server.stop();
    const atMs = nowMs;
    for (const days of [0, 1, 365]) {
      nowMs = atMs + days * 24 * 60 * MINUTE;
      const exp = nowMs / 1000 + 60;
      expect((await verifier.verify(await one.sign({ exp }))).user).toBe("ann");
      // A key that is not known may be a new one.
      const unknown = await refusal(await two.sign({ exp }));
      expect(unknown.retryable).toBe(true);
    }
    expect(problems.at(-1)).toBe(
      "auth.jwt[0].jwks_url cannot be fetched: the connection failed (ECONNREFUSED); the keys fetched before remain in use.",
    );
    await server.start();
    server.publish(two.jwk);
    nowMs += 30_000;
    expect((await verifier.verify(await two.sign({ exp: nowMs / 1000 + 60 }))).user).toBe("ann");
  });

  test("that cannot be fetched at first refuse for now, and are asked for once a second", async () => {
    await server.stop();
    const token = await one.sign();
    const refusals = await Promise.all([1, 2, 3].map(() => refusal(token)));
    for (const each of refusals)
      expect(each).toMatchObject({ message: UNAVAILABLE, retryable: true });
    for (let second = 0; second < 29; second++) {
      nowMs += 1_000;
      await refusal(token);
    }
    // The operator reads about it once in 30 s.
    const sentence =
      "auth.jwt[0].jwks_url cannot be fetched: the connection failed (ECONNREFUSED).";
    expect(problems).toEqual([sentence]);
    nowMs += 1_000;
    await refusal(token);
    expect(problems).toEqual([sentence, sentence]);
    await server.start();
    nowMs += 999;
    expect(await refusal(token)).toMatchObject({ message: UNAVAILABLE, retryable: true });
    expect(server.requests).toBe(0);
    nowMs += 1;
    expect((await verifier.verify(token)).user).toBe("ann");
  });

  test("of a server that hangs are given up after the timeout", async () => {
    server.respond(() => {});
    const impatient = verifierOf({}, 50);
    expect(await refusal(await one.sign(), impatient)).toMatchObject({
      message: UNAVAILABLE,
      retryable: true,
    });
    // Also when the server hangs in the middle of its response.
    server.respond((response) => response.write('{"keys":['));
    nowMs += 30_000;
    expect(await refusal(await one.sign(), impatient)).toMatchObject({ message: UNAVAILABLE });
    expect(problems).toEqual([
      "auth.jwt[0].jwks_url cannot be fetched: it does not respond in time.",
      "auth.jwt[0].jwks_url cannot be fetched: it does not respond in time.",
    ]);
  });

  test.each<[string, string, (server: JwksServer) => void]>([
    ["text", "its response is not JSON", (each) => each.respond((r) => r.end("<html>"))],
    ["nothing", "its response is not JSON", (each) => each.respond((r) => r.end())],
    ["a list", "its response has no list of keys", (each) => each.respond((r) => r.end("[]"))],
    [
      "keys that are no list",
      "its response has no list of keys",
      (each) => each.respond((r) => r.end('{"keys":{}}')),
    ],
    [
      "deep JSON",
      "its response is not JSON",
      (each) => each.respond((r) => r.end("[".repeat(1e5))),
    ],
    [
      "more than 256 KiB",
      "its response exceeds 262144 bytes",
      (each) => each.respond((r) => r.end(`{"keys":[]${" ".repeat(300_000)}}`)),
    ],
    [
      "an endless response",
      "its response exceeds 262144 bytes",
      (each) =>
        each.respond((r) => {
          const more = () => void (r.destroyed || r.write(" ".repeat(65_536), more));
          more();
        }),
    ],
    [
      "status 500",
      "it responded with status 500",
      (each) => each.respond((r) => r.writeHead(500).end('{"keys":[]}')),
    ],
    [
      "a redirect",
      "it responded with status 302",
      (each) => each.respond((r) => r.writeHead(302, { location: each.url }).end()),
    ],
    ["a cut connection", "the connection failed", (each) => each.respond((r) => r.destroy())],
  ])("remain in use when the issuer responds with %s", async (_title, problem, spoil) => {
    await verifier.verify(await one.sign());
    spoil(server);
    nowMs += 10 * MINUTE;
    // The key is unknown, so this waits for the fetch.
    expect(await refusal(await two.sign())).toMatchObject({
      message: UNAVAILABLE,
      retryable: true,
    });
    expect((await verifier.verify(await one.sign())).user).toBe("ann");
    expect(server.requests).toBe(2);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`auth.jwt[0].jwks_url cannot be fetched: ${problem}`);
    expect(problems[0]).toContain("; the keys fetched before remain in use.");
    // One sentence in 30 s, whatever happens.
    nowMs += 29_999;
    await refusal(await two.sign());
    expect(problems).toHaveLength(1);
  });

  test("are those of the latest valid response, even if it has none that fit", async () => {
    await verifier.verify(await one.sign());
    server.publish();
    nowMs += 30_000;
    await refusal(await two.sign());
    expect((await refusal(await one.sign())).message).toContain(UNKNOWN_KEY);
    expect(problems).toEqual(["auth.jwt[0].jwks_url has no key for the accepted algorithms."]);
  });

  test("serve tokens without a key id, too", async () => {
    const { kid: _, ...anonymous } = two.jwk;
    server.publish(one.jwk, anonymous);
    const token = (key: Issuer) => sign({}, { alg: "ES256" }, key.privateKey);
    for (const each of [one, two])
      expect((await verifier.verify(await token(each))).user).toBe("ann");
    const stranger = await newIssuer("ES256");
    expect((await refusal(await stranger.sign())).message).toBe(
      "The token has a signature that no key of its issuer made.",
    );
  });
});

describe("a published key", () => {
  test("counts only with an algorithm that the entry accepts", async () => {
    const rsa = await newIssuer("RS256", "rsa");
    server.publish(rsa.jwk, one.jwk);
    expect((await refusal(await rsa.sign())).message).toContain("algorithm (alg)");
    const other = verifierOf({ algorithms: ["RS256"] });
    expect((await other.verify(await rsa.sign())).user).toBe("ann");
    expect((await refusal(await one.sign(), other)).message).toContain("algorithm (alg)");
  });

  test("of another kind than the accepted algorithms need is reported", async () => {
    const rsa = await newIssuer("RS256", "rsa");
    const other = verifierOf({ algorithms: ["RS256"] });
    expect((await refusal(await rsa.sign(), other)).message).toBe(UNKNOWN_KEY);
    expect(problems).toEqual(["auth.jwt[0].jwks_url has no key for the accepted algorithms."]);
  });

  test("that is for encryption, or for another algorithm, does not count", async () => {
    server.publish({ ...one.jwk, use: "enc" }, { ...two.jwk, alg: "ES384" });
    for (const each of [one, two])
      expect((await refusal(await each.sign())).message).toContain(UNKNOWN_KEY);
  });

  test("that is private does not count", async () => {
    const jwk = { ...(await exportJWK(one.privateKey)), kid: "one" };
    expect(jwk.d).toBeDefined();
    server.publish(jwk);
    expect((await refusal(await one.sign())).message).toBe(UNKNOWN_KEY);
    expect(problems).toEqual(["auth.jwt[0].jwks_url has no key for the accepted algorithms."]);
  });

  test("that is a secret does not count, whatever its token says", async () => {
    const secret = await generateSecret("HS256", { extractable: true });
    server.publish({ ...(await exportJWK(secret)), kid: "hs" });
    const token = await sign({}, { alg: "HS256", kid: "hs" }, secret);
    expect((await refusal(token)).message).toContain("algorithm (alg)");
  });

  test("that is a short RSA key does not count", async () => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const rsa = await newIssuer("RS256", "short");
    server.publish({ ...(publicKey.export({ format: "jwk" }) as JWK), kid: "short" });
    const other = verifierOf({ algorithms: ["RS256"] });
    expect((await refusal(await rsa.sign(), other)).message).toBe(UNKNOWN_KEY);
  });

  test.each<[string, unknown]>([
    ["null", null],
    ["text", "key"],
    ["an empty object", {}],
    ["a key without coordinates", { kty: "EC", crv: "P-256", kid: "two" }],
    ["a key with wrong coordinates", { kty: "EC", crv: "P-256", kid: "two", x: "AA", y: "AA" }],
    ["a key of an unknown type", { kty: "XYZ", kid: "two" }],
    ["a key whose id is a list", { kty: "EC", crv: "P-256", kid: ["two"], x: "AA", y: "AA" }],
  ])("that is broken (%s) does not disturb the others", async (_title, broken) => {
    server.publish(broken as JWK, one.jwk);
    expect((await refusal(await two.sign())).message).toBe(UNKNOWN_KEY);
    expect((await verifier.verify(await one.sign())).user).toBe("ann");
    const withoutId = await sign({}, { alg: "ES256" }, one.privateKey);
    expect((await verifier.verify(withoutId)).user).toBe("ann");
  });
});
