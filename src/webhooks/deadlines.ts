import { FunctionError } from "../core/function-call.ts";
import type { Invocation } from "../functions/provider.ts";
import { startTimer } from "../timers/timers.ts";

/** What a call under way has to keep to. */
export interface Deadline {
  /** Aborted with a FunctionError when the time is up, or nobody waits any more. */
  readonly signal: AbortSignal;
  /** Time that is left, in milliseconds. */
  remainingMs(): number;
}

/** Ends the calls of one function in time. */
export interface Deadlines {
  /**
   * Runs a call within the caller's time and the function's own.
   *
   * @throws FunctionError TIMEOUT when the time is up, invocation_stopped when it was given up or all
   *   is closed; else what the call throws.
   */
  run<T>(
    invocation: Pick<Invocation, "timeoutMs" | "signal">,
    call: (deadline: Deadline) => Promise<T>,
  ): Promise<T>;
  /** Ends all calls under way, and refuses later ones. Idempotent. */
  close(): void;
}

/** @param mostMs Most time of each call, in milliseconds. */
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
        // Whatever broke then, broke because of that.
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
