import { AsyncLocalStorage } from "node:async_hooks";
import { functionAuthor } from "../core/author.ts";

/**
 * The cause of the running code: handlers of this process run under the cause of their call, and
 * their own calls and writes inherit it. Code outside of any call has the outermost cause.
 */
export interface CallCause {
  /** Number of firings and calls that led here: 0 outside of any call. */
  readonly depth: number;
  /** Custom streams whose functions are on the call chain that led here. */
  readonly overriding: readonly string[];
  /** The function that runs the code; "": none. Its writes have it as their author. */
  readonly functionId: string;
}

/** The cause of code outside of any call. */
export const OUTERMOST: CallCause = Object.freeze({ depth: 0, overriding: [], functionId: "" });
const causes = new AsyncLocalStorage<CallCause>();

/** Longest chain of calls and firings: it ends a function that triggers itself. */
export const MAX_DEPTH = 16;

/** Cause of the synchronous code that runs now. */
let ofSyncCode: CallCause | undefined;

/** The cause of the code that runs now. */
export function currentCause(): CallCause {
  return ofSyncCode ?? causes.getStore() ?? OUTERMOST;
}

/** The author of writes of the code that runs now: the function that runs it, if any. */
export function currentAuthor(): string {
  return functionAuthor(currentCause().functionId);
}

/** Runs code under a cause, including everything it awaits. */
export function runCaused<T>(cause: CallCause, work: () => T): T {
  return causes.run(cause, () => runUnder(undefined, work));
}

/**
 * Runs code under a cause that ends when the code returns. Unlike runCaused it costs nothing: once
 * AsyncLocalStorage is in use, every promise of the process costs more.
 */
export function runCausedPlain<T>(cause: CallCause, work: () => T): T {
  return runUnder(cause, work);
}

function runUnder<T>(cause: CallCause | undefined, work: () => T): T {
  const before = ofSyncCode;
  ofSyncCode = cause;
  try {
    return work();
  } finally {
    ofSyncCode = before;
  }
}
