/** How keys of an algorithm look, in the terms of JWK and of Node. */
interface KeyForm {
  /** `kty` of a JWK. */
  readonly kty: "RSA" | "EC" | "OKP" | "oct";
  /** `crv` of a JWK; undefined where keys have no curve. */
  readonly crv?: string;
  /** `asymmetricKeyType` of Node; undefined for secrets. */
  readonly type?: string;
  /** `namedCurve` of Node; undefined where keys have no curve, or one only. */
  readonly curve?: string;
  /** Shortest secret, in bytes: as long as the hash (RFC 7518, 3.2). */
  readonly secretBytes?: number;
}

const RSA: KeyForm = { kty: "RSA", type: "rsa" };
const ED25519: KeyForm = { kty: "OKP", crv: "Ed25519", type: "ed25519" };

/**
 * The algorithms of signatures that an entry may accept. `none` is not one of them.
 *
 * The HMAC algorithms (HS) need a secret, all others a public key.
 */
export const JWT_ALGORITHMS = {
  RS256: RSA,
  RS384: RSA,
  RS512: RSA,
  PS256: RSA,
  PS384: RSA,
  PS512: RSA,
  ES256: { kty: "EC", crv: "P-256", type: "ec", curve: "prime256v1" },
  ES384: { kty: "EC", crv: "P-384", type: "ec", curve: "secp384r1" },
  ES512: { kty: "EC", crv: "P-521", type: "ec", curve: "secp521r1" },
  EdDSA: ED25519,
  Ed25519: ED25519,
  HS256: { kty: "oct", secretBytes: 32 },
  HS384: { kty: "oct", secretBytes: 48 },
  HS512: { kty: "oct", secretBytes: 64 },
} as const satisfies Readonly<Record<string, KeyForm>>;

/** One of {@link JWT_ALGORITHMS}. */
export type JwtAlgorithm = keyof typeof JWT_ALGORITHMS;

/** Shortest RSA key, in bits (RFC 7518, 3.3). */
export const MIN_RSA_BITS = 2048;

/** The form of the keys of an algorithm. */
export function keyFormOf(algorithm: JwtAlgorithm): KeyForm {
  return JWT_ALGORITHMS[algorithm];
}

/** Whether it is an algorithm with a shared secret. */
export function isHmac(algorithm: JwtAlgorithm): boolean {
  return keyFormOf(algorithm).kty === "oct";
}

/** Whether it is the name of an algorithm that an entry may accept. */
export function isJwtAlgorithm(name: unknown): name is JwtAlgorithm {
  return typeof name === "string" && Object.hasOwn(JWT_ALGORITHMS, name);
}
