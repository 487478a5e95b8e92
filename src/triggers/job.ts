import type { FunctionError } from "../core/function-call.ts";

/** A pending call of a trigger. */
export interface Job {
  /** JSON text. */
  readonly payload: string;
  /** Number of firings and calls that led to it. */
  readonly depth: number;
  /**
   * Of a job that takes several calls: their payloads. It is iterated once for each attempt, and
   * `payload` is that of the latest call. Absent: `payload` is its only one.
   */
  readonly parts?: (() => AsyncIterable<string>) | undefined;
}

/** Why a job ended without a successful call. */
export interface Loss {
  readonly reason: "failed" | "backlog" | "depth" | "max_away";
  readonly error: FunctionError | undefined;
  readonly attempts: number;
}
