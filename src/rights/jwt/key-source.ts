import type { JWTHeaderParameters, CryptoKey as JoseKey, KeyObject } from "jose";

/** A key that signatures are verified with. */
export type VerificationKey = JoseKey | KeyObject | Uint8Array;

/** The keys of one entry of `auth.jwt`. */
export interface KeySource {
  /**
   * The keys that may have signed a token: all that fit its header.
   *
   * @throws TokenProblem when there is none, or the keys cannot be fetched.
   */
  keysFor(header: JWTHeaderParameters): Promise<readonly VerificationKey[]>;
  /**
   * The same after another fetch, for a token that names no key and whose signature none of them
   * made: a new key may have been published. Empty when there is nothing to fetch now.
   */
  newKeysFor(header: JWTHeaderParameters): Promise<readonly VerificationKey[]>;
}
