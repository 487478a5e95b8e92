import type { Logger } from "pino";
import type { Problem } from "../service/engine.ts";

/** How often one kind of problem with one function is logged, in milliseconds: somebody may cause it at will. */
const INTERVAL_MS = 1000;
/** How many are remembered. */
const MAX_REMEMBERED = 1000;

interface Told {
  atMs: number;
  /** How many were not logged since. */
  suppressed: number;
}

/**
 * Logs what gates refused and what triggers could not do, each kind of problem with each function at
 * most once a second; the next line tells how many were left out.
 */
export function createProblemLog(logger: Logger, now: () => number): (problem: Problem) => void {
  const toldByKey = new Map<string, Told>();
  return ({ kind, message, functionId, error }) => {
    const key = `${kind} ${functionId ?? ""}`;
    const told = toldByKey.get(key) ?? { atMs: -Infinity, suppressed: 0 };
    if (now() - told.atMs < INTERVAL_MS) {
      told.suppressed++;
      return;
    }
    const fields = {
      kind,
      function_id: functionId,
      ...(error !== undefined && { err: error }),
      ...(told.suppressed > 0 && { suppressed: told.suppressed }),
    };
    if (kind === "internal") logger.error(fields, message);
    else logger.warn(fields, message);
    toldByKey.delete(key);
    toldByKey.set(key, { atMs: now(), suppressed: 0 });
    if (toldByKey.size <= MAX_REMEMBERED) return;
    for (const oldest of toldByKey.keys()) {
      toldByKey.delete(oldest);
      return;
    }
  };
}
