import { type JWTVerifyOptions, errors, jwtVerify } from "jose";
import { isJwtAlgorithm } from "./algorithms.ts";
import type { KeySource, VerificationKey } from "./key-source.ts";
import { type JwtOptions, checkJwtOptions } from "./options.ts";
import { remoteKeys } from "./remote-keys.ts";
import { publicKey, secretKey } from "./static-keys.ts";
import { STAGES, TokenProblem, badSignature } from "./token-problem.ts";
import { type UnverifiedToken, readUnverified } from "./unverified-token.ts";
import { type VerifiedToken, tokenExpired, readVerified } from "./verified-token.ts";

/** Verifies tokens (JWT). */
export interface TokenVerifier {
  /**
   * Verifies a token: signature, `exp`, `nbf`, `iss`, `aud`, the user and the rules.
   *
   * It costs a signature: callers verify a token once per connection, and keep the result.
   *
   * @throws StreamError AUTH_REFUSED with a sentence that names the failed check and quotes nothing
   *   of the token; retryable when the keys that could decide are out of reach for now.
   */
  verify(token: string): Promise<VerifiedToken>;
}

/** Dependencies of a token verifier. */
export interface TokenVerifierOptions {
  /** Unix time in milliseconds. */
  readonly clock: () => number;
  /** Default: the platform's. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /** Time for one response of an issuer, in milliseconds. Default: 5,000. */
  readonly fetchTimeoutMs?: number | undefined;
  /** Receives sentences for the operator, such as about keys that cannot be fetched. */
  readonly onProblem: (sentence: string) => void;
  /** Where the entries are configured, for messages. Default: `auth.jwt`. */
  readonly place?: string | undefined;
}

/** Default of `TokenVerifierOptions.fetchTimeoutMs`. */
const FETCH_TIMEOUT_MS = 5_000;

/** An entry with its keys. */
interface Issuer {
  readonly options: JwtOptions;
  readonly keys: KeySource;
}

/**
 * Creates a verifier for several issuers.
 *
 * A token is for each entry that accepts its algorithm and has either its issuer or none. They are
 * tried in order, and the token has to satisfy one of them completely.
 *
 * @throws SettingError when an entry is invalid.
 */
export function createTokenVerifier(
  issuers: readonly JwtOptions[],
  verifierOptions: TokenVerifierOptions,
): TokenVerifier {
  const { clock, place = "auth.jwt" } = verifierOptions;
  const all = issuers.map((options, index): Issuer => {
    const here = `${place}[${index}]`;
    checkJwtOptions(options, here);
    return { options, keys: keysOf(options, here, verifierOptions) };
  });
  return {
    async verify(token) {
      try {
        return await verifyWithAny(token, all, clock);
      } catch (error) {
        throw error instanceof TokenProblem ? error.toError() : error;
      }
    },
  };
}

function keysOf(options: JwtOptions, place: string, given: TokenVerifierOptions): KeySource {
  if (options.secret !== undefined) return secretKey(options.secret);
  if (options.publicKey !== undefined) return publicKey(options.publicKey);
  return remoteKeys({
    url: options.jwksUrl as string,
    place: `${place}.jwks_url`,
    algorithms: options.algorithms,
    clock: given.clock,
    fetch: given.fetch ?? globalThis.fetch,
    timeoutMs: given.fetchTimeoutMs ?? FETCH_TIMEOUT_MS,
    onProblem: given.onProblem,
  });
}

async function verifyWithAny(
  token: string,
  issuers: readonly Issuer[],
  clock: () => number,
): Promise<VerifiedToken> {
  const unverified = readUnverified(token);
  let worst: TokenProblem | undefined;
  for (const issuer of candidates(unverified, issuers)) {
    try {
      return await verifyWith(token, unverified, issuer, clock);
    } catch (error) {
      if (!(error instanceof TokenProblem)) throw error;
      if (worst === undefined || isLater(error, worst)) worst = error;
    }
  }
  throw worst ?? badSignature();
}

function isLater(one: TokenProblem, other: TokenProblem): boolean {
  return STAGES.indexOf(one.stage) > STAGES.indexOf(other.stage);
}

/** The entries that a token may be for. @throws TokenProblem when there is none. */
function candidates(
  { header: { alg }, claims: { iss } }: UnverifiedToken,
  issuers: readonly Issuer[],
): readonly Issuer[] {
  const ofIssuer = issuers.filter(
    ({ options: { issuer } }) => issuer === undefined || issuer === iss,
  );
  if (ofIssuer.length === 0) {
    throw new TokenProblem(
      "key",
      "The token is from another issuer (claim iss) than those that the service accepts.",
    );
  }
  const ofBoth = ofIssuer.filter(
    ({ options: { algorithms } }) => isJwtAlgorithm(alg) && algorithms.includes(alg),
  );
  if (ofBoth.length > 0) return ofBoth;
  throw new TokenProblem(
    "key",
    "The token is signed with an algorithm (alg) that the service does not accept from its issuer.",
  );
}

async function verifyWith(
  token: string,
  { header }: UnverifiedToken,
  { options, keys }: Issuer,
  clock: () => number,
): Promise<VerifiedToken> {
  const verifyWithOneOf = async (found: readonly VerificationKey[]) => {
    // Read after the keys were fetched, so that a token cannot expire meanwhile.
    const nowMs = clock();
    for (const key of found) {
      const claims = await claimsOf(token, key, checksOf(options, nowMs));
      if (claims !== undefined) return readVerified(claims, options, nowMs);
    }
    return undefined;
  };
  const verified =
    (await verifyWithOneOf(await keys.keysFor(header))) ??
    (header.kid === undefined ? await verifyWithOneOf(await keys.newKeysFor(header)) : undefined);
  if (verified === undefined) throw badSignature();
  return verified;
}

function checksOf(options: JwtOptions, nowMs: number): JWTVerifyOptions {
  const { algorithms, leewayMs = 0, issuer, audience } = options;
  return {
    algorithms: [...algorithms],
    currentDate: new Date(nowMs),
    clockTolerance: leewayMs / 1000,
    requiredClaims: ["exp"],
    ...(issuer !== undefined && { issuer }),
    ...(audience !== undefined && { audience: [audience].flat() }),
  };
}

/** @returns undefined when another key made the signature. */
async function claimsOf(token: string, key: VerificationKey, checks: JWTVerifyOptions) {
  try {
    const { payload } = await jwtVerify(token, key, checks);
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw tokenExpired();
    if (error instanceof errors.JWTClaimValidationFailed) throw invalidClaim(error);
    // A TypeError is about a key that cannot be used.
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined;
    throw error;
  }
}

function invalidClaim({ claim, reason }: errors.JWTClaimValidationFailed): TokenProblem {
  return new TokenProblem("claims", sentenceFor(claim, reason));
}

function sentenceFor(claim: string, reason: string): string {
  if (claim === "aud")
    return "The token is for another audience (claim aud); it may be one for this service.";
  if (claim === "iss")
    return "The token is from another issuer (claim iss) than those that the service accepts.";
  if (claim === "nbf" && reason === "check_failed")
    return "The token is not valid yet (claim nbf); present it later.";
  if (claim === "exp" && reason === "missing")
    return "The token has no claim exp; it may be the time when it expires, in Unix seconds.";
  return `The token has an invalid claim ${claim}; it may be a time in Unix seconds.`;
}
