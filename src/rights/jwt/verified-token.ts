import type { JWTPayload } from "jose";
import { MAX_NAME_BYTES, isName } from "../../core/names.ts";
import { claimText, claimAt } from "../json-path.ts";
import { type Rule, readRules } from "../rule.ts";
import { SettingError } from "../setting-error.ts";
import { DEFAULT_USER_CLAIM, type JwtOptions } from "./options.ts";
import { TokenProblem } from "./token-problem.ts";

/** The user and the rights that a valid token proves. */
export interface VerifiedToken {
  /** Id of the user, with the prefix of the entry: a name of 1 to 256 bytes. */
  readonly user: string;
  /** All claims, as plain JSON without a key `__proto__`. */
  readonly claims: Readonly<Record<string, unknown>>;
  /**
   * The token's `exp` in Unix milliseconds, rounded down. What the token opened ends then, without
   * leeway; so a token that was accepted thanks to the leeway may have expired already.
   */
  readonly expiresAtMs: number;
  /** Until then it is accepted for single calls: the leeway after `expiresAtMs`. */
  readonly acceptedUntilMs: number;
  /** Rules of the claim that `allowClaim` names; empty when there is none. */
  readonly allow: readonly Rule[] | undefined;
}

/** Latest time that JavaScript has a date for, in Unix milliseconds. */
const LAST_DATE_MS = 8.64e15;

/**
 * Reads the claims of a token whose signature and registered claims are valid.
 *
 * @throws TokenProblem
 */
export function readVerified(
  claims: JWTPayload,
  options: JwtOptions,
  nowMs: number,
): VerifiedToken {
  const { leewayMs = 0 } = options;
  const expiresAtMs = expiryIn(claims, leewayMs, nowMs);
  return {
    user: userIn(claims, options),
    claims,
    expiresAtMs,
    acceptedUntilMs: expiresAtMs + leewayMs,
    allow: rulesIn(claims, options.allowClaim),
  };
}

/** The sentence for a token that has expired. */
export function tokenExpired(): TokenProblem {
  return new TokenProblem("claims", "The token has expired (claim exp); present a newer one.");
}

/** The library compares whole seconds; this compares milliseconds. */
function expiryIn({ exp = Infinity }: JWTPayload, leewayMs: number, nowMs: number): number {
  const expiresAtMs = Math.floor(exp * 1000);
  if (expiresAtMs > LAST_DATE_MS)
    throw new TokenProblem("claims", "The token's claim exp is no date; it may be Unix seconds.");
  if (expiresAtMs + leewayMs <= nowMs) throw tokenExpired();
  return expiresAtMs;
}

function userIn(
  claims: JWTPayload,
  { user: path = DEFAULT_USER_CLAIM, userPrefix = "" }: JwtOptions,
) {
  const text = claimText(claimAt(claims, path.split(".")));
  const limits = `it may be text or an integer that makes an id of 1 to ${MAX_NAME_BYTES} bytes.`;
  if (text === undefined)
    throw new TokenProblem("claims", `The token has no user id in claim ${path}; ${limits}`);
  const user = userPrefix + text;
  if (isName(user)) return user;
  throw new TokenProblem("claims", `The token has an invalid user id in claim ${path}; ${limits}`);
}

function rulesIn(claims: JWTPayload, path: string | undefined): readonly Rule[] | undefined {
  const value = path === undefined ? undefined : claimAt(claims, path.split("."));
  if (value === undefined) return undefined;
  try {
    return readRules(value, "token");
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    // Its message may quote the claim; its place does not.
    throw new TokenProblem(
      "claims",
      `The token's claim ${path} has invalid rules (${error.place}); it may be a list of {actions, stream?, group?, item?}.`,
    );
  }
}
