import { utf8Length } from "../../core/text.ts";
import { SettingError } from "../setting-error.ts";
import {
  JWT_ALGORITHMS,
  type JwtAlgorithm,
  isHmac,
  isJwtAlgorithm,
  keyFormOf,
} from "./algorithms.ts";
import { publicKeyProblem } from "./static-keys.ts";

/**
 * An entry of `auth.jwt`: one issuer whose tokens make their bearers users.
 *
 * It has exactly one of `jwksUrl`, `publicKey` and `secret`.
 */
export interface JwtOptions {
  /** The `iss` claim that tokens must have. Default: any, or none. */
  readonly issuer?: string | undefined;
  /** Values of which a token's `aud` claim must have one. Default: any, or none. */
  readonly audience?: string | readonly string[] | undefined;
  /** The algorithms that tokens may be signed with. At least one. */
  readonly algorithms: readonly JwtAlgorithm[];
  /** URL of the issuer's public keys (JWKS), `https:` or `http:`. */
  readonly jwksUrl?: string | undefined;
  /** The issuer's public key, or its certificate, as the text of a PEM file. */
  readonly publicKey?: string | undefined;
  /** The secret shared with the issuer: at least 32 bytes for HS256, 48 for HS384, 64 for HS512. */
  readonly secret?: string | undefined;
  /**
   * Path of the claim with the id of the user, with dots. Default: `sub`. The claim is text, or an
   * integer within ±(2^53-1).
   */
  readonly user?: string | undefined;
  /** Text to put before the claim, so that users of several issuers differ. Default: none. */
  readonly userPrefix?: string | undefined;
  /**
   * Path of a claim with rules that hold for the user besides `auth.rules`: its issuer can give any
   * right. Default: none.
   */
  readonly allowClaim?: string | undefined;
  /**
   * How far the clocks of issuer and service may differ, in milliseconds. It applies to `exp` and
   * `nbf` when a token is presented. For this time after `exp`, single calls are still accepted;
   * subscriptions, sockets, write streams and workers end at `exp` itself, and are refused after it.
   * Default: 0.
   */
  readonly leewayMs?: number | undefined;
}

/** Default of `JwtOptions.user`. */
export const DEFAULT_USER_CLAIM = "sub";

/** Names of the options as the configuration spells them. */
const SOURCES = { jwksUrl: "jwks_url", publicKey: "public_key_file", secret: "secret" } as const;

/**
 * Checks an entry.
 *
 * @param place Its place, such as `auth.jwt[0]`.
 * @throws SettingError
 */
export function checkJwtOptions(options: JwtOptions, place: string): void {
  checkJwtForm(options, place);
  if (options.publicKey === undefined) return;
  const problem = publicKeyProblem(options.publicKey, options.algorithms);
  if (problem !== undefined) throw new SettingError(`${place}.public_key_file`, problem);
}

/** Checks all of an entry but the content of its public key. @throws SettingError */
export function checkJwtForm(options: JwtOptions, place: string): void {
  const { issuer, audience, jwksUrl, secret, leewayMs = 0 } = options;
  checkAlgorithms(options, place);
  if (issuer === "") throw new SettingError(`${place}.issuer`, "is empty; it may be an iss claim.");
  if (audience !== undefined && (audience.length === 0 || [audience].flat().includes("")))
    throw new SettingError(`${place}.audience`, "is empty; it may be one or several aud claims.");
  const sources = (Object.keys(SOURCES) as (keyof typeof SOURCES)[])
    .filter((key) => options[key] !== undefined)
    .map((key) => SOURCES[key]);
  if (sources.length !== 1) {
    const problem = sources.length === 0 ? "no key" : sources.join(" and ");
    throw new SettingError(
      place,
      `has ${problem}; it may have exactly one of jwks_url, public_key_file and secret.`,
    );
  }
  checkPath(options.user ?? DEFAULT_USER_CLAIM, `${place}.user`);
  if (options.allowClaim !== undefined) checkPath(options.allowClaim, `${place}.allow_claim`);
  if (!Number.isFinite(leewayMs) || leewayMs < 0)
    throw new SettingError(`${place}.leeway`, "is not a duration; it may be 30s.");
  if (jwksUrl !== undefined) checkUrl(jwksUrl, `${place}.jwks_url`);
  if (secret !== undefined) checkSecret(secret, options.algorithms, `${place}.secret`);
}

/**
 * Warnings about an entry that is valid but probably not meant.
 *
 * @returns Sentences for the operator, each beginning with the place.
 */
export function doubtsAboutJwt({ audience, secret, jwksUrl }: JwtOptions, place: string): string[] {
  const doubts: string[] = [];
  if (audience === undefined && secret === undefined) {
    doubts.push(
      `${place} has no audience, so it accepts tokens that the issuer made for other applications.`,
    );
  }
  const url = jwksUrl === undefined ? undefined : new URL(jwksUrl);
  if (url?.protocol === "http:" && !LOOPBACK.test(url.hostname)) {
    doubts.push(
      `${place}.jwks_url is not encrypted, so the network can exchange the keys; it may begin with https:.`,
    );
  }
  return doubts;
}

const LOOPBACK = /^(?:localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

function checkAlgorithms({ algorithms, secret }: JwtOptions, place: string): void {
  const here = `${place}.algorithms`;
  const all = Object.keys(JWT_ALGORITHMS).join(", ");
  if (algorithms.length === 0)
    throw new SettingError(here, `is empty; it may be a list of ${all}.`);
  for (const algorithm of algorithms as readonly unknown[]) {
    if (!isJwtAlgorithm(algorithm))
      throw new SettingError(here, `has an unknown algorithm; it may be a list of ${all}.`);
    if (isHmac(algorithm) === (secret !== undefined)) continue;
    throw new SettingError(
      here,
      secret === undefined
        ? `has ${algorithm}, which needs a secret; with a public key it may be RS256 or ES256, for example.`
        : `has ${algorithm}, which needs a public key; with a secret it may be HS256, HS384 and HS512.`,
    );
  }
}

function checkPath(path: string, place: string): void {
  if (path.split(".").every((step) => step !== "" && step !== "__proto__")) return;
  throw new SettingError(place, "is not the path of a claim; it may be sub, or app.user_id.");
}

function checkUrl(text: string, place: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url?.protocol === "https:" || url?.protocol === "http:";
  if (isWeb && url?.username === "" && url.password === "") return;
  throw new SettingError(
    place,
    isWeb
      ? "has a user name or password; it may be a URL without them."
      : "is not a URL of the web; it may begin with https:.",
  );
}

function checkSecret(secret: string, algorithms: readonly JwtAlgorithm[], place: string): void {
  // Else the public key, which everybody may know, would be the secret.
  if (secret.includes("-----BEGIN"))
    throw new SettingError(place, "is a PEM file; keys like this belong in public_key_file.");
  const bytes = utf8Length(secret);
  for (const algorithm of algorithms) {
    const { secretBytes = 0 } = keyFormOf(algorithm);
    if (bytes >= secretBytes) continue;
    throw new SettingError(
      place,
      `has ${bytes} bytes, too few for ${algorithm}; it may be ${secretBytes} bytes or longer.`,
    );
  }
}
