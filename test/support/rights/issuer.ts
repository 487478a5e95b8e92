import { createHmac } from "node:crypto";
import {
  type CryptoKey as JoseKey,
  type JWK,
  SignJWT,
  exportJWK,
  exportSPKI,
  generateKeyPair,
} from "jose";

/** Unix time at which the tests run, in seconds. */
export const NOW = 1_900_000_000;

/** An issuer of tokens with one key pair. */
export interface Issuer {
  readonly privateKey: JoseKey;
  /** Public key, as an issuer publishes it. */
  readonly jwk: JWK;
  readonly pem: string;
  /** Signs claims; by default with a subject, and valid for an hour from NOW. */
  sign(
    claims?: Readonly<Record<string, unknown>>,
    header?: Readonly<Record<string, unknown>>,
  ): Promise<string>;
}

/** Makes an issuer with a new key. */
export async function newIssuer(alg = "ES256", kid?: string): Promise<Issuer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const id = kid === undefined ? {} : { kid };
  return {
    privateKey,
    jwk: { ...(await exportJWK(publicKey)), ...id },
    pem: await exportSPKI(publicKey),
    sign: (claims, header) => sign(claims, { alg, ...id, ...header }, privateKey),
  };
}

/** Signs claims with any key. */
export async function sign(
  claims: Readonly<Record<string, unknown>> | undefined,
  header: Readonly<Record<string, unknown>>,
  key: JoseKey | Uint8Array,
): Promise<string> {
  return new SignJWT({ sub: "ann", exp: NOW + 3600, ...claims })
    .setProtectedHeader({ alg: "", ...header })
    .sign(key);
}

/** A token with any texts as header and claims, and with any signature. */
export function rawToken(header: string, claims: string, signature = "c2ln"): string {
  return `${unsigned(header, claims)}.${signature}`;
}

/** A token with any texts as header and claims, and an HMAC (SHA-256) as signature. */
export function hmacToken(header: string, claims: string, key: string): string {
  const text = unsigned(header, claims);
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

function unsigned(...parts: string[]): string {
  return parts.map((part) => Buffer.from(part).toString("base64url")).join(".");
}
