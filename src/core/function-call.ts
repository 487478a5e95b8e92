/*
 * Calls of functions, as everybody sees them who calls one without knowing where it runs. Payloads,
 * results and metadata are JSON text, so that whoever only hands them on need not parse them.
 */

/** Codes of failed calls that the service itself gives. Handlers may give codes of their own. */
export type FunctionErrorCode =
  /** Nobody provides a function of that id. */
  | "function_not_found"
  /** The handler threw, or its result cannot be used. */
  | "invocation_failed"
  /** Its provider went away during the call: it may have run. */
  | "invocation_stopped"
  /** The deadline passed: it may still run. */
  | "TIMEOUT"
  /** The caller may not call it. */
  | "FORBIDDEN"
  /** The payload is malformed. */
  | "deserialization_error"
  /** The payload is larger than a call may carry. */
  | "payload_too_large"
  /** Too many calls are in flight. Nothing ran; the call may be made again later. */
  | "overloaded"
  /** A function of a custom stream answered in the wrong shape. */
  | "JSON_ERROR"
  /** A trigger has a type that there is not. */
  | "trigger_type_not_found"
  /** A trigger is malformed. */
  | "trigger_invalid";

/** A failed call of a function. */
export class FunctionError extends Error {
  override readonly name = "FunctionError";
  /** A FunctionErrorCode, `STREAM_SET_ERROR` and the like of built-in functions, or a handler's own. */
  readonly code: string;
  /**
   * Whether no handler answered: nobody provides the function, its provider takes no more, or went away.
   * Not so when a handler failed with the same code, because a call of its own did.
   */
  readonly isUnserved: boolean;

  /** @param options.cause What happened inside. Logged, never shown to callers. */
  constructor(
    code: string,
    message: string,
    options: { readonly cause?: unknown; readonly isUnserved?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.isUnserved = options.isUnserved ?? false;
  }

  /** What a handler failed with: its own failure, whatever it is made of. */
  static ofHandler(error: unknown): FunctionError {
    const known = FunctionError.from(error);
    return known.isUnserved
      ? new FunctionError(known.code, known.message, { cause: error })
      : known;
  }

  /** Any thrown thing as a FunctionError: what is not one becomes `invocation_failed`. */
  static from(error: unknown): FunctionError {
    if (error instanceof FunctionError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new FunctionError("invocation_failed", message, { cause: error });
  }
}

/** How a call is made. */
export interface CallOptions {
  /** Most time that it may take, in milliseconds. */
  readonly timeoutMs?: number | undefined;
  /** What goes to the handler beside the payload: JSON text. */
  readonly metadata?: string | undefined;
  /** Gives up waiting, and tells the handler so. */
  readonly signal?: AbortSignal | undefined;
  /** How many firings and calls led to this one. Default: those that led to the code that calls. */
  readonly depth?: number | undefined;
}

/**
 * Calls a function, wherever its provider is.
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
