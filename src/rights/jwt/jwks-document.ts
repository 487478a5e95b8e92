import type { JWK } from "jose";
import { isRecord } from "../../core/is-record.ts";
import { parseNested } from "../../core/nesting.ts";
import { type JwtAlgorithm, MIN_RSA_BITS, keyFormOf } from "./algorithms.ts";

/** Largest document, in bytes, after decompression. */
const MAX_JWKS_BYTES = 256 * 1024;
/** Fewest base64url characters of the modulus of an RSA key. */
const MIN_MODULUS_LENGTH = Math.ceil(MIN_RSA_BITS / 6);

/**
 * Fetches the keys that an issuer publishes (RFC 7517). Redirects are not followed.
 *
 * @param timeoutMs Time for the whole response.
 * @returns The public keys that fit the algorithms; other keys are left out.
 * @throws Error with the problem as a clause, such as "it responded with status 503".
 */
export async function fetchKeys(
  url: string,
  algorithms: readonly JwtAlgorithm[],
  timeoutMs: number,
  fetch: typeof globalThis.fetch,
): Promise<JWK[]> {
  const response = await fetch(url, {
    headers: { accept: "application/jwk-set+json, application/json" },
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`it responded with status ${response.status}`);
  }
  return keysIn(await claimText(response), algorithms);
}

async function claimText({ body }: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_JWKS_BYTES) throw new Error(`its response exceeds ${MAX_JWKS_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function keysIn(text: string, algorithms: readonly JwtAlgorithm[]): JWK[] {
  let document: unknown;
  try {
    document = parseNested(text);
  } catch {
    throw new Error("its response is not JSON");
  }
  const keys = isRecord(document) ? document["keys"] : undefined;
  if (!Array.isArray(keys)) throw new Error("its response has no list of keys");
  return keys.filter((key: unknown): key is JWK => isRecord(key) && isUsable(key, algorithms));
}

/** Whether it is a public key for one of the algorithms. Short RSA keys are not. */
function isUsable(key: Readonly<Record<string, unknown>>, algorithms: readonly JwtAlgorithm[]) {
  // A published private key is everybody's.
  if ("d" in key || "k" in key) return false;
  const { kty, crv, n } = key;
  if (kty === "RSA" && (typeof n !== "string" || n.length < MIN_MODULUS_LENGTH)) return false;
  return algorithms.some((algorithm) => {
    const form = keyFormOf(algorithm);
    return form.kty === kty && (form.crv === undefined || form.crv === crv);
  });
}
