/** One call, as a provider receives it. */
export interface Invocation {
  readonly functionId: string;
  /** JSON text. */
  readonly payload: string;
  /** JSON text; undefined: none. */
  readonly metadata: string | undefined;
  /** Longest duration of the call, in milliseconds. The registry enforces it with its own timer. */
  readonly timeoutMs: number;
  /** Aborted when no caller waits for the result any more. */
  readonly signal: AbortSignal;
}

/** Serves the calls of a function: a handler in this process, a worker or a webhook. */
export interface Provider {
  /** Whether it makes all of its calls and writes before `invoke` returns. Default no. */
  readonly isPlain?: boolean;
  /** Name of the worker, for listings. Absent or empty: it is not a worker, or has no name. */
  readonly workerName?: string;
  /**
   * @returns JSON text; undefined for no result. @throws Any error; the registry makes it a
   *   FunctionError.
   */
  invoke(invocation: Invocation): Promise<string | undefined>;
}

/** A registered function or trigger. */
export interface Registration {
  /**
   * Ends the registration. Calls in flight fail with `invocation_stopped`. Idempotent.
   *
   * @param how Default `withdrawn`.
   */
  unregister(how?: EndOfRegistration): Promise<void>;
}

/**
 * How a registration ends. `withdrawn`: on request. `lost`: its registrant disconnected without
 * notice. `drained`: its registrant disconnected after a drain, so calls in flight may finish;
 * otherwise as `lost`.
 */
export type EndOfRegistration = "withdrawn" | "lost" | "drained";
