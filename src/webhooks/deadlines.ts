import { FunctionError } from "../core/function-call.ts";
import type { Invocation } from "../functions/provider.ts";
import { startTimer } from "../timers/timers.ts";

/** The deadline of a call. */
export interface Deadline {
  /** Aborted with a FunctionError at the deadline, or when the caller gives up. */
  readonly signal: AbortSignal;
  /** Remaining time, in milliseconds. */
  remainingMs(): number;
}

/** Enforces the deadlines of one function's calls. */
export interface Deadlines {
  /**
   * Runs a call within the caller's timeout and the function's own.
   *
   * @throws FunctionError TIMEOUT at the deadline, invocation_stopped when the caller gives up or
   * this
   *   is closed; otherwise whatever the call throws.
   */
  run<T>(
    invocation: Pick<Invocation, "timeoutMs" | "signal">,
    call: (deadline: Deadline) => Promise<T>,
  ): Promise<T>;
  /** Ends all calls under way, and refuses later ones. Idempotent. */
  close(): void;
}

/** @param mostMs Longest time of each call, in milliseconds. */
export function openDeadlines(functionId: string, mostMs: number): Deadlines {
  const underWay = new Set<AbortController>();
  let isClosed = false;
  const stopped = (sentence: string) => new FunctionError("invocation_stopped", sentence);
  return {
    async run({ timeoutMs, signal: given }, call) {
      if (isClosed) throw stopped(`The provider of ${functionId} is closed.`);
      const allowedMs = Math.min(timeoutMs, mostMs);
      const end = performance.now() + allowedMs;
      const controller = new AbortController();
      const { signal } = controller;
      const late = () =>
        controller.abort(
          new FunctionError(
            "TIMEOUT",
            `The function ${functionId} took more than ${allowedMs} ms.`,
          ),
        );
      const giveUp = () =>
        controller.abort(
          given.reason instanceof FunctionError
            ? given.reason
            : stopped(`The call of ${functionId} was given up.`),
        );
      const timer = startTimer(allowedMs, late);
      given.addEventListener("abort", giveUp);
      if (given.aborted) giveUp();
      underWay.add(controller);
      try {
        return await call({ signal, remainingMs: () => end - performance.now() });
      } catch (error) {
        // After an abort, errors are its consequence.
        throw signal.aborted ? signal.reason : error;
      } finally {
        timer.cancel();
        given.removeEventListener("abort", giveUp);
        underWay.delete(controller);
      }
    },
    close() {
      isClosed = true;
      for (const controller of underWay)
        controller.abort(stopped(`The provider of ${functionId} went away during the call.`));
    },
  };
}
