import type { Logger } from "pino";
import type { Problem } from "../service/engine.ts";

/**
 * Shortest time between two lines about one kind of problem with one function, in milliseconds.
 * Clients can cause problems at will.
 */
const INTERVAL_MS = 1000;
/** Most lines that are remembered. */
const MAX_REMEMBERED = 1000;

/** The latest line about one kind of problem with one function. */
interface LoggedLine {
  atMs: number;
  /** Number of problems since then that were not logged. */
  suppressed: number;
}

/**
 * Logs problems of gates and triggers: each kind of problem with each function at most once a
 * second. The next line has the number of those that were suppressed.
 */
export function createProblemLog(logger: Logger, now: () => number): (problem: Problem) => void {
  /** Latest lines, the oldest first. */
  const latest = new Map<string, LoggedLine>();
  return ({ kind, message, functionId, error }) => {
    const key = `${kind} ${functionId ?? ""}`;
    const line = latest.get(key) ?? { atMs: -Infinity, suppressed: 0 };
    if (now() - line.atMs < INTERVAL_MS) {
      line.suppressed++;
      return;
    }
    const fields = {
      kind,
      function_id: functionId,
      ...(error !== undefined && { err: error }),
      ...(line.suppressed > 0 && { suppressed: line.suppressed }),
    };
    if (kind === "internal") logger.error(fields, message);
    else logger.warn(fields, message);
    latest.delete(key);
    latest.set(key, { atMs: now(), suppressed: 0 });
    if (latest.size <= MAX_REMEMBERED) return;
    for (const oldest of latest.keys()) {
      latest.delete(oldest);
      return;
    }
  };
}
