import { beforeAll, describe, expect, test } from "vitest";
import type { JwtOptions } from "../../../src/rights/jwt/options.ts";
import { type Issuer, NOW, newIssuer, sign } from "../../support/rights/issuer.ts";
import { refusal, verifier } from "../../support/rights/verification.ts";

const SECRET = "s".repeat(64);
const HS256 = { alg: "HS256" };

let rsa: Issuer;
let issuer: Issuer;
const entry = (options: Partial<JwtOptions> = {}): JwtOptions => ({
  algorithms: ["ES256"],
  publicKey: issuer.pem,
  ...options,
});

beforeAll(async () => {
  [rsa, issuer] = await Promise.all([newIssuer("RS256"), newIssuer("ES256")]);
});

describe("several issuers", () => {
  test("are told apart by the claim iss", async () => {
    const other = await newIssuer("ES256");
    const { verify } = verifier([
      entry({ issuer: "a", userPrefix: "a:" }),
      entry({ issuer: "b", userPrefix: "b:", publicKey: other.pem }),
    ]);
    expect((await verify(await issuer.sign({ iss: "a" }))).user).toBe("a:ann");
    expect((await verify(await other.sign({ iss: "b" }))).user).toBe("b:ann");
    await expect(verify(await other.sign({ iss: "a" }))).rejects.toThrow("signature");
  });

  test("without a name are told apart by algorithm and key", async () => {
    const other = await newIssuer("ES256");
    const { verify } = verifier([
      { algorithms: ["HS256"], secret: SECRET, userPrefix: "hs:" },
      entry({ userPrefix: "one:" }),
      entry({ userPrefix: "two:", publicKey: other.pem }),
    ]);
    expect((await verify(await sign({}, HS256, new TextEncoder().encode(SECRET)))).user).toBe(
      "hs:ann",
    );
    expect((await verify(await issuer.sign())).user).toBe("one:ann");
    expect((await verify(await other.sign())).user).toBe("two:ann");
  });

  test("each have to be satisfied completely", async () => {
    const other = await newIssuer("ES256");
    const entries = [
      entry({ audience: "one", userPrefix: "one:" }),
      entry({ audience: "two", userPrefix: "two:", publicKey: other.pem }),
    ];
    expect(await refusal(await issuer.sign({ aud: "two" }), entries)).toContain("aud");
    expect(await refusal(await other.sign({ aud: "one" }), entries)).toContain("aud");
    expect((await verifier(entries).verify(await other.sign({ aud: "two" }))).user).toBe("two:ann");
  });

  test("report the problem of the entry whose key made the signature", async () => {
    const other = await newIssuer("ES256");
    const entries = [entry(), entry({ publicKey: other.pem }), entry()];
    expect(await refusal(await other.sign({ exp: NOW }), entries)).toContain("expired");
  });

  test("may accept an algorithm that another does not", async () => {
    const entries: JwtOptions[] = [
      entry({ issuer: "a" }),
      entry({ issuer: "b", algorithms: ["RS256"], publicKey: rsa.pem }),
    ];
    expect(await refusal(await rsa.sign({ iss: "a" }), entries)).toContain("algorithm (alg)");
    expect((await verifier(entries).verify(await rsa.sign({ iss: "b" }))).user).toBe("ann");
  });
});
