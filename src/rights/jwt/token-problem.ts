import { StreamError } from "../../core/errors.ts";

/**
 * How far the verification of a token came. When several entries refuse a token, the caller sees
 * the problem of the latest stage: that entry is probably the one that was meant.
 */
export const STAGES = ["key", "unavailable", "claims"] as const;

/** The reason why an entry does not accept a token. Holds nothing of the token. */
export class TokenProblem extends Error {
  override readonly name = "TokenProblem";
  readonly stage: (typeof STAGES)[number];
  /** Whether the same token may be accepted later. */
  readonly retryable: boolean;

  /** @param message A sentence for the caller. */
  constructor(stage: (typeof STAGES)[number], message: string, retryable = false) {
    super(message);
    this.stage = stage;
    this.retryable = retryable;
  }

  /**
   * The error that the caller sees. The errors of the library are no causes, because they contain
   * the claims, which must not be logged.
   */
  toError(): StreamError {
    return new StreamError("AUTH_REFUSED", this.message, { retryable: this.retryable });
  }
}

/** The key that a token names is not among those of its issuer. */
export function unknownKey(retryable: boolean): TokenProblem {
  const next = retryable ? " The issuer's keys were fetched a moment ago; try again later." : "";
  return new TokenProblem(
    "key",
    `The token is signed with a key that its issuer does not publish.${next}`,
    retryable,
  );
}

/** The keys of the issuer are unknown. */
export function keysUnavailable(): TokenProblem {
  return new TokenProblem(
    "unavailable",
    "The token cannot be verified now, because the keys of its issuer cannot be fetched; try again.",
    true,
  );
}

/** No key of the entry made the signature. */
export function badSignature(): TokenProblem {
  return new TokenProblem("key", "The token has a signature that no key of its issuer made.");
}
