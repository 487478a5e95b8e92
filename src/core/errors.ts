/**
 * Every error the service can return: one table of reasons, each with its code.
 *
 * The code is Connect's name of the gRPC status; the reason is the stable name
 * that programs compare; the message is a sentence for people. The protocols
 * translate this table and add nothing to it.
 */

/** Connect's name of a gRPC status code, as far as the service uses it. */
export type Code =
  | "invalid_argument"
  | "aborted"
  | "unauthenticated"
  | "permission_denied"
  | "resource_exhausted"
  | "unavailable"
  | "failed_precondition"
  | "internal";

/**
 * Reason -> code, and whether sending the same call again can succeed without a change on the
 * caller's side. (After OUTCOME_UNKNOWN only a Set, a Delete, or a call with an expectation or an
 * idempotency key is safe to repeat.)
 */
export const REASONS = {
  NAME_INVALID: { code: "invalid_argument", retryable: false },
  VALUE_INVALID: { code: "invalid_argument", retryable: false },
  VALUE_TOO_DEEP: { code: "invalid_argument", retryable: false },
  VALUE_TOO_LARGE: { code: "invalid_argument", retryable: false },
  OP_MALFORMED: { code: "invalid_argument", retryable: false },
  PAGE_TOKEN_INVALID: { code: "invalid_argument", retryable: false },
  REQUEST_INVALID: { code: "invalid_argument", retryable: false },
  SCHEMA_MISMATCH: { code: "invalid_argument", retryable: false },
  IDEMPOTENCY_MISMATCH: { code: "invalid_argument", retryable: false },
  REVISION_MISMATCH: { code: "aborted", retryable: false },
  EPOCH_MISMATCH: { code: "aborted", retryable: false },
  AUTH_REFUSED: { code: "unauthenticated", retryable: false },
  AUTH_EXPIRED: { code: "unauthenticated", retryable: false },
  JOIN_REFUSED: { code: "permission_denied", retryable: false },
  WRITE_REFUSED: { code: "permission_denied", retryable: false },
  ACTION_DENIED: { code: "permission_denied", retryable: false },
  SUBSCRIPTION_ENDED: { code: "permission_denied", retryable: false },
  NOT_TRUSTED: { code: "permission_denied", retryable: false },
  OVERLOADED: { code: "resource_exhausted", retryable: true },
  SLOW_SUBSCRIBER: { code: "resource_exhausted", retryable: true },
  RESPONSE_TOO_LARGE: { code: "resource_exhausted", retryable: false },
  SNAPSHOT_TOO_LARGE: { code: "resource_exhausted", retryable: false },
  RATE_LIMITED: { code: "resource_exhausted", retryable: true },
  TOO_MANY_CONNECTIONS: { code: "resource_exhausted", retryable: true },
  STORE_UNAVAILABLE: { code: "unavailable", retryable: true },
  OUTCOME_UNKNOWN: { code: "unavailable", retryable: true },
  SHUTTING_DOWN: { code: "unavailable", retryable: true },
  CUSTOM_STREAM_UNSUPPORTED: { code: "failed_precondition", retryable: false },
  INTERNAL: { code: "internal", retryable: false },
} as const satisfies Record<string, { code: Code; retryable: boolean }>;

/** Stable name of an error. */
export type Reason = keyof typeof REASONS;

/** An error of the service. The only one that its public functions throw or reject with. */
export class StreamError extends Error {
  override readonly name = "StreamError";
  /** Stable reason, as in `google.rpc.ErrorInfo`. */
  readonly reason: Reason;
  /** Details for programs, for example `current_revision`. Safe to show to the caller. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  /**
   * @param message A sentence that names the field, the problem and what the value may be.
   * @param options.cause The internal error. Logged, never shown to callers.
   * @param options.retryable Whether the same call may succeed later. Default: as in REASONS.
   */
  constructor(
    reason: Reason,
    message: string,
    options: {
      metadata?: Readonly<Record<string, string>>;
      cause?: unknown;
      retryable?: boolean;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.metadata = options.metadata ?? {};
    this.retryable = options.retryable ?? REASONS[reason].retryable;
  }

  /** Connect's name of the gRPC status code. */
  get code(): Code {
    return REASONS[this.reason].code;
  }

  /** Any thrown value as a StreamError: other errors become INTERNAL, with their text hidden. */
  static from(error: unknown): StreamError {
    if (error instanceof StreamError) return error;
    return new StreamError("INTERNAL", "The service failed to handle the call.", { cause: error });
  }

  /** The same error with more metadata. */
  with(metadata: Readonly<Record<string, string>>): StreamError {
    return new StreamError(this.reason, this.message, {
      metadata: { ...this.metadata, ...metadata },
      cause: this.cause,
      retryable: this.retryable,
    });
  }
}
