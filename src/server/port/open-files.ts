import { readFileSync } from "node:fs";

/** The share of the process's file descriptors for connections that have sent no request. */
const SHARE = 0.5;
const LIMIT = /^Max open files +(\d+)/m;

/**
 * Most connections without a request that the process can afford: if they took every file
 * descriptor, nobody else could connect. Infinity where the system does not disclose its limit.
 */
export function affordableConnections(): number {
  try {
    const [, limit] = LIMIT.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return limit === undefined ? Infinity : Math.max(1, Math.floor(Number(limit) * SHARE));
  } catch {
    return Infinity;
  }
}
