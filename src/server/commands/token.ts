import { isRecord } from "../../core/is-record.ts";
import { signDevelopmentToken } from "../../rights/jwt/development-token.ts";
import type { JwtOptions } from "../../rights/jwt/options.ts";
import { createTokenVerifier } from "../../rights/jwt/token-verifier.ts";
import { SettingError } from "../../rights/setting-error.ts";
import { DURATION } from "../config/units.ts";
import { jsonIn, rulesIn } from "./allow-text.ts";

/** The flags of `millrace token`. */
export interface TokenFlags {
  readonly user: string;
  readonly ttl: string;
  /** Rules: JSON, or the short form; several add up. */
  readonly allow?: readonly string[];
  /** More claims, as JSON. */
  readonly claims?: string;
}

/**
 * Makes a token for development, which the service accepts with the given entries of `auth.jwt`. The
 * first entry with a secret signs it, or the first that can carry rules when there are any.
 *
 * @throws SettingError when no entry has a secret, or a flag is invalid.
 * @throws StreamError when the service would refuse the token.
 */
export async function developmentToken(
  entries: readonly JwtOptions[],
  { user, ttl, allow, claims }: TokenFlags,
  nowMs: number,
): Promise<string> {
  const ttlMs = DURATION.parse(ttl);
  if (!(ttlMs > 0)) throw new SettingError("ttl", "is not a duration; it may be 1h.");
  const index = entryFor(entries, allow !== undefined);
  const token = await signDevelopmentToken(
    entries[index] as JwtOptions,
    { user, ttlMs, allow: allow?.flatMap(rulesIn), claims: claimsIn(claims) },
    nowMs,
    `auth.jwt[${index}]`,
  );
  const verifier = createTokenVerifier(entries, { clock: () => nowMs, onProblem: () => {} });
  await verifier.verify(token);
  return token;
}

function entryFor(entries: readonly JwtOptions[], hasRules: boolean): number {
  const withSecret = entries.findIndex(({ secret }) => secret !== undefined);
  if (withSecret < 0) {
    throw new SettingError(
      "auth.jwt",
      "has no entry with a secret, so only the issuers can make tokens; for development, it may have an entry with algorithms: [HS256] and a secret.",
    );
  }
  const withRules = entries.findIndex(
    ({ secret, allowClaim }) => secret !== undefined && allowClaim !== undefined,
  );
  return hasRules && withRules >= 0 ? withRules : withSecret;
}

function claimsIn(text: string | undefined): Readonly<Record<string, unknown>> | undefined {
  if (text === undefined) return undefined;
  const claims = jsonIn(text, "claims");
  if (isRecord(claims)) return claims;
  throw new SettingError("claims", 'is not an object; it may be JSON such as {"rooms":["a"]}.');
}
