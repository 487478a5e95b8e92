import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import { NOW, hmacToken, newIssuer } from "../../support/rights/issuer.ts";
import { verifier } from "../../support/rights/verification.ts";

const SECRET = "s".repeat(32);

/** Whether a refusal is as documented; rethrows every other error. */
function isRefusal(error: unknown): boolean {
  if (error instanceof StreamError) return error.reason === "AUTH_REFUSED" && !error.retryable;
  throw error;
}

describe("any token", () => {
  test("with a changed, missing or additional character proves nothing new", async () => {
    const issuer = await newIssuer("ES256");
    const { verify } = verifier([{ algorithms: ["ES256"], publicKey: issuer.pem }]);
    const token = await issuer.sign({ rooms: ["a", "b"] });
    const genuine = await verify(token);
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(token.length),
        fc.nat(1),
        fc.oneof(fc.constantFrom("", ".", "=", "A", "_", "é", "\0"), fc.string({ maxLength: 3 })),
        async (at, removed, text) => {
          const changed = token.slice(0, at) + text + token.slice(at + removed);
          try {
            expect(await verify(changed)).toEqual(genuine);
          } catch (error) {
            expect(isRefusal(error)).toBe(true);
            refused++;
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(refused).toBeGreaterThan(200);
  });

  test("of a known secret has a valid user and a future end, or is refused", async () => {
    const { verify } = verifier([
      {
        algorithms: ["HS256"],
        secret: SECRET,
        audience: "a",
        user: "id.of",
        userPrefix: "p:",
        allowClaim: "allow",
      },
    ]);
    const number = fc.oneof(fc.integer(), fc.double(), fc.integer({ min: NOW - 2, max: NOW + 2 }));
    const scalar = fc.oneof(fc.constantFrom("a", "", "*", "\n", null, true), number, fc.string());
    const action = fc.constantFrom("read", "*", "fly", 1);
    const rule = fc.record({ actions: fc.array(action), group: scalar }, { requiredKeys: [] });
    const often = <T>(usual: T, other: fc.Arbitrary<unknown>) =>
      fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
    const claims = fc.record(
      {
        exp: often(NOW + 60, scalar),
        nbf: often(NOW, scalar),
        aud: often("a", fc.oneof(scalar, fc.array(scalar))),
        iss: scalar,
        id: often({ of: "ann" }, fc.oneof(scalar, fc.record({ of: scalar }))),
        allow: fc.oneof(fc.constant([{ actions: ["read"] }]), fc.array(rule), scalar),
      },
      { requiredKeys: ["exp", "aud", "id"] },
    );
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(claims, async (each) => {
        try {
          const token = await verify(hmacToken('{"alg":"HS256"}', JSON.stringify(each), SECRET));
          accepted++;
          expect(token.user).toMatch(/^p:\P{Cc}+$/u);
          expect(token.expiresAtMs).toBeGreaterThan(NOW * 1000);
          expect(Number.isSafeInteger(token.expiresAtMs)).toBe(true);
          expect(token.claims).toEqual(JSON.parse(JSON.stringify(each)));
          expect([each.aud].flat()).toContain("a");
        } catch (error) {
          expect(isRefusal(error)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(25);
    expect(accepted).toBeLessThan(475);
  });
});
