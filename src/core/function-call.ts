/*
 * Function calls, wherever the function runs. Payloads, results and metadata are JSON text, so that
 * code that only forwards them need not parse them.
 */

/** Codes of failed calls that the service itself uses. Handlers may use codes of their own. */
export type FunctionErrorCode =
  /** The function has no provider. */
  | "function_not_found"
  /** The handler threw, or its result cannot be used. */
  | "invocation_failed"
  /** Its provider disconnected during the call: the function may have run. */
  | "invocation_stopped"
  /** The deadline passed: the function may still be running. */
  | "TIMEOUT"
  /** The caller may not call it. */
  | "FORBIDDEN"
  /** The payload is malformed. */
  | "deserialization_error"
  /** The payload is larger than a call may carry. */
  | "payload_too_large"
  /** Too many calls are in flight. Nothing ran; the call may be made again later. */
  | "overloaded"
  /** A function of a custom stream returned the wrong shape. */
  | "JSON_ERROR"
  /** A trigger has an unknown type. */
  | "trigger_type_not_found"
  /** A trigger is malformed. */
  | "trigger_invalid";

/** A failed call of a function. */
export class FunctionError extends Error {
  override readonly name = "FunctionError";
  /**
   * A FunctionErrorCode, `STREAM_SET_ERROR` and the like of built-in functions, or a handler's own.
   */
  readonly code: string;
  /**
   * Whether no handler responded: the function has no provider, or its provider is full or
   * disconnected. False when a handler failed with the same code because a call of its own did.
   */
  readonly isUnserved: boolean;

  /** @param options.cause The internal error. Logged, never shown to callers. */
  constructor(
    code: string,
    message: string,
    options: { readonly cause?: unknown; readonly isUnserved?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.isUnserved = options.isUnserved ?? false;
  }

  /**
   * The failure of a handler: never unserved, even when it rethrows the failure of another call.
   */
  static ofHandler(error: unknown): FunctionError {
    const known = FunctionError.from(error);
    return known.isUnserved
      ? new FunctionError(known.code, known.message, { cause: error })
      : known;
  }

  /** Any thrown value as a FunctionError: other errors become `invocation_failed`. */
  static from(error: unknown): FunctionError {
    if (error instanceof FunctionError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new FunctionError("invocation_failed", message, { cause: error });
  }
}

/** Options of a call. */
export interface CallOptions {
  /** Longest duration of the call, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** Passed to the handler beside the payload: JSON text. */
  readonly metadata?: string | undefined;
  /** Abandons the call, and aborts the handler's signal. */
  readonly signal?: AbortSignal | undefined;
  /** Number of firings and calls that led to this one. Default: that of the calling code. */
  readonly depth?: number | undefined;
}

/**
 * Calls a function, wherever its provider runs.
 *
 * @param payload JSON text.
 * @returns JSON text; undefined when the function returned nothing.
 * @throws FunctionError
 */
export type Call = (
  functionId: string,
  payload: string,
  options?: CallOptions,
) => Promise<string | undefined>;
