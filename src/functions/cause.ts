import { AsyncLocalStorage } from "node:async_hooks";

/**
 * What led to the code that runs now: handlers of this process run under the cause of their call, and
 * whatever they call or write in turn goes by it. Code that no call led to has the outermost cause.
 */
export interface Cause {
  /** How many firings and calls led here: 0 outside of all. */
  readonly depth: number;
  /** Custom streams whose functions are being called on the way here. */
  readonly overriding: readonly string[];
}

const OUTERMOST: Cause = Object.freeze({ depth: 0, overriding: [] });
const causes = new AsyncLocalStorage<Cause>();

/** How deep calls and firings may lead to one another: a function that sets itself off ends here. */
export const MAX_DEPTH = 16;

/** Of code that runs now under a cause for as long as it runs without a pause. */
let ofPlainCode: Cause | undefined;

/** The cause of the code that runs now. */
export function currentCause(): Cause {
  return ofPlainCode ?? causes.getStore() ?? OUTERMOST;
}

/** Runs code under a cause, with all that it awaits. */
export function runCaused<T>(cause: Cause, work: () => T): T {
  return causes.run(cause, () => runUnder(undefined, work));
}

/**
 * Runs code under a cause that ends when it returns. Unlike the other it costs nothing: once anything has
 * run with what it awaits, every promise of the process costs more.
 */
export function runCausedPlain<T>(cause: Cause, work: () => T): T {
  return runUnder(cause, work);
}

function runUnder<T>(cause: Cause | undefined, work: () => T): T {
  const before = ofPlainCode;
  ofPlainCode = cause;
  try {
    return work();
  } finally {
    ofPlainCode = before;
  }
}
