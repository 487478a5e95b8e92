import { expect } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import type { JwtOptions } from "../../../src/rights/jwt/options.ts";
import { type TokenVerifier, createTokenVerifier } from "../../../src/rights/jwt/token-verifier.ts";
import { NOW } from "./issuer.ts";

/** A verifier that fetches nothing. */
export function verifier(
  entries: readonly JwtOptions[],
  nowMs: number = NOW * 1000,
): TokenVerifier {
  return createTokenVerifier(entries, {
    clock: () => nowMs,
    onProblem: (sentence) => {
      throw new Error(sentence);
    },
  });
}

/** Sentence of the refusal. Checks that it quotes nothing of the token. */
export async function refusal(
  token: string,
  entries: readonly JwtOptions[],
  nowMs?: number,
): Promise<string> {
  const error: unknown = await verifier(entries, nowMs)
    .verify(token)
    .then(
      () => new Error("The token was accepted."),
      (reason: unknown) => reason,
    );
  if (!(error instanceof StreamError)) throw error;
  expect(error).toMatchObject({ reason: "AUTH_REFUSED", retryable: false, metadata: {} });
  expect(error.cause).toBeUndefined();
  return error.message;
}
