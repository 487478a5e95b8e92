/** Limits of calls. Each has a default. */
export interface FunctionLimits {
  /** Default timeout of a call, in milliseconds. */
  readonly timeoutMs: number;
  /** Largest payload and largest result of a handler, in bytes of JSON text. */
  readonly maxPayloadBytes: number;
  /**
   * Largest result of a built-in function, and of a list of a custom stream, in bytes of JSON text.
   */
  readonly maxBuiltInResultBytes: number;
  /** Most calls in flight in total. */
  readonly maxInFlight: number;
  /** Most calls in flight of one function. */
  readonly maxInFlightPerFunction: number;
}

/** Default limits. */
export const DEFAULT_FUNCTION_LIMITS: FunctionLimits = {
  timeoutMs: 30_000,
  maxPayloadBytes: 4 * 1024 * 1024,
  maxBuiltInResultBytes: 64 * 1024 * 1024,
  maxInFlight: 10_000,
  maxInFlightPerFunction: 1000,
};
