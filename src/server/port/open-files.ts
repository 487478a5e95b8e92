import { readFileSync } from "node:fs";

/** Of the files that the process may have open, the part that connections without a request may take. */
const SHARE = 0.5;
const LIMIT = /^Max open files +(\d+)/m;

/**
 * How many connections that have sent no request the process can afford: when they took every file that
 * it may have open, nobody else could connect. Infinity where the system does not tell its limit.
 */
export function affordableConnections(): number {
  try {
    const [, limit] = LIMIT.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return limit === undefined ? Infinity : Math.max(1, Math.floor(Number(limit) * SHARE));
  } catch {
    return Infinity;
  }
}
