import { type KeyObject, createPublicKey, createSecretKey } from "node:crypto";
import { type JwtAlgorithm, MIN_RSA_BITS, keyFormOf } from "./algorithms.ts";
import type { KeySource } from "./key-source.ts";

/** The one key of an entry with a secret. */
export function secretKey(secret: string): KeySource {
  return onlyKey(createSecretKey(secret, "utf8"));
}

/** The one key of an entry with a public key, which `publicKeyProblem` has checked. */
export function publicKey(pem: string): KeySource {
  return onlyKey(createPublicKey(pem));
}

function onlyKey(key: KeyObject): KeySource {
  return {
    keysFor: () => Promise.resolve([key]),
    newKeysFor: () => Promise.resolve([]),
  };
}

/**
 * What is wrong with a public key, as the rest of a sentence; undefined when it serves every
 * algorithm.
 */
export function publicKeyProblem(
  pem: string,
  algorithms: readonly JwtAlgorithm[],
): string | undefined {
  // Node would derive the public key. But a private key on this machine is one more to be stolen.
  if (pem.includes("PRIVATE KEY-----"))
    return "holds a private key; it may hold the public key only.";
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    return "holds no public key; it may hold one, or a certificate, in PEM.";
  }
  const { asymmetricKeyType, asymmetricKeyDetails = {} } = key;
  const { namedCurve, modulusLength = Infinity } = asymmetricKeyDetails;
  for (const algorithm of algorithms) {
    const { type, curve } = keyFormOf(algorithm);
    if (asymmetricKeyType !== type || (curve !== undefined && namedCurve !== curve))
      return `holds a key of another kind than ${algorithm} needs; algorithms may list those of the key.`;
  }
  if (modulusLength < MIN_RSA_BITS)
    return `holds a key of ${modulusLength} bits; it may hold one of ${MIN_RSA_BITS} bits or more.`;
  return undefined;
}
