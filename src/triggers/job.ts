import type { FunctionError } from "../core/function-call.ts";

/** A pending call of a trigger. */
export interface Job {
  /** JSON text. */
  readonly payload: string;
  /** Number of firings and calls in the chain that led to it. */
  readonly depth: number;
  /**
   * The payloads of a job that takes several calls. They are iterated once per attempt, and
   * `payload` is that of the latest call. Absent: `payload` is the only one.
   */
  readonly parts?: (() => AsyncIterable<string>) | undefined;
}

/** Why a job ended without a successful call. */
export interface Loss {
  readonly reason: "failed" | "backlog" | "depth" | "max_away";
  readonly error: FunctionError | undefined;
  readonly attempts: number;
}
