/** One call, as a provider gets it. */
export interface Invocation {
  readonly functionId: string;
  /** JSON text. */
  readonly payload: string;
  /** JSON text; undefined: there is none. */
  readonly metadata: string | undefined;
  /** Most time that it may take, in milliseconds. Whoever calls has a clock of its own for it. */
  readonly timeoutMs: number;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** Answers calls of a function: a handler in this process, a worker, a webhook. */
export interface Provider {
  /** Whether what it does is over, as far as it calls or writes, when it returns. Default no. */
  readonly isPlain?: boolean;
  /** What the worker that it is calls itself, for listings. Absent or empty: it is none, or has no name. */
  readonly workerName?: string;
  /** @returns JSON text; undefined for no result. @throws what becomes a FunctionError. */
  invoke(invocation: Invocation): Promise<string | undefined>;
}

/** What was registered, until it is taken back. */
export interface Registration {
  /**
   * Takes it back. Calls in flight fail with `invocation_stopped`. Idempotent.
   *
   * @param how Default `withdrawn`.
   */
  unregister(how?: EndOfRegistration): Promise<void>;
}

/**
 * How a registration ends. `withdrawn`: by somebody's wish. `lost`: whoever made it went away without a
 * word. `drained`: they went in good order, so calls in flight may finish; otherwise as `lost`.
 */
export type EndOfRegistration = "withdrawn" | "lost" | "drained";
