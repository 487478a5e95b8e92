import { SignJWT } from "jose";
import { isRecord } from "../../core/is-record.ts";
import { readRules } from "../rule.ts";
import { SettingError } from "../setting-error.ts";
import { type JwtAlgorithm, isHmac } from "./algorithms.ts";
import { DEFAULT_USER_CLAIM, type JwtOptions, checkJwtOptions } from "./options.ts";

/** What a token for development says. */
export interface DevelopmentToken {
  /** Id of the user: with the prefix of the entry, or without. */
  readonly user: string;
  /** How long it is valid, in milliseconds. Rounded up to whole seconds. */
  readonly ttlMs: number;
  /** Rules for the claim that `allowClaim` of the entry names, as JSON. Default: none. */
  readonly allow?: unknown;
  /** More claims. Those above, issuer and audience take precedence. Default: none. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Signs a token as an issuer would, for development and tests.
 *
 * @param options The entry of `auth.jwt` that is to accept the token. It must have a secret.
 * @param nowMs Unix time in milliseconds.
 * @throws SettingError when the entry has no secret, or cannot carry what the token is to say.
 */
export async function signDevelopmentToken(
  options: JwtOptions,
  { user, ttlMs, allow, claims: more = {} }: DevelopmentToken,
  nowMs: number,
  place = "auth.jwt",
): Promise<string> {
  checkJwtOptions(options, place);
  const { secret, issuer, audience, allowClaim, userPrefix = "" } = options;
  const alg = options.algorithms.find((algorithm: JwtAlgorithm) => isHmac(algorithm));
  if (secret === undefined || alg === undefined) {
    throw new SettingError(
      place,
      "has no secret, so only its issuer can make tokens; it may have a secret, for development.",
    );
  }
  const id = user.startsWith(userPrefix) ? user.slice(userPrefix.length) : user;
  if (id === "") throw new SettingError("user", "is empty; it may be the id of a user.");
  if (!(ttlMs > 0)) throw new SettingError("ttl", "is not a duration; it may be 1h.");
  const claims: Record<string, unknown> = structuredClone(more);
  if (allow !== undefined) {
    if (allowClaim === undefined) {
      throw new SettingError(
        `${place}.allow_claim`,
        "is missing, so tokens cannot carry rules; it may be the name of a claim.",
      );
    }
    readRules(allow, "allow");
    setAt(claims, allowClaim, allow);
  }
  setAt(claims, options.user ?? DEFAULT_USER_CLAIM, id);
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg, typ: "JWT" })
    .setIssuedAt(Math.floor(nowMs / 1000))
    .setExpirationTime(Math.ceil((nowMs + ttlMs) / 1000));
  if (issuer !== undefined) token.setIssuer(issuer);
  if (audience !== undefined) token.setAudience([audience].flat());
  return token.sign(new TextEncoder().encode(secret));
}

/** Sets the claim at a path. */
function setAt(claims: Record<string, unknown>, path: string, value: unknown): void {
  const steps = path.split(".");
  const last = steps.pop() as string;
  let inner = claims;
  for (const step of steps) {
    if (!Object.hasOwn(inner, step)) inner[step] = {};
    const next = inner[step];
    if (!isRecord(next)) {
      throw new SettingError(
        "claims",
        `has ${step}, which is not an object; it may be one, because the token needs ${path}.`,
      );
    }
    inner = next;
  }
  inner[last] = value;
}
