import { DEFAULT_HISTORY } from "./store.ts";
import type { History } from "./store.ts";

/** A group's log as far as its limits are concerned. */
export interface LogExtent {
  /** Number of changes. */
  readonly count: number;
  /** Bytes of their values, by `Value.size`. */
  readonly bytes: number;
  /** Wall clock of the oldest change, Unix milliseconds. Of no meaning while the log is empty. */
  readonly oldestTimeMs: number;
}

/** What decides when somebody has to look after a group that nobody writes. */
export interface GroupAge {
  readonly log: LogExtent;
  readonly itemCount: number;
  /** Wall clock of the last change, Unix milliseconds; 0 when there was none. */
  readonly lastChangeMs: number;
  /** Timestamp of the last event, which may run ahead of the wall clock. */
  readonly timestamp: number;
}

/** Limits of history; what is absent has its default. */
export type HistoryOptions = { readonly [Limit in keyof History]?: History[Limit] | undefined };

/** Fills in the limits that were not given. */
export function historyOf(given: HistoryOptions = {}): History {
  return {
    maxChanges: limit("maxChanges", given.maxChanges ?? DEFAULT_HISTORY.maxChanges, MAX_LIMIT),
    maxAgeMs: limit("maxAgeMs", given.maxAgeMs ?? DEFAULT_HISTORY.maxAgeMs, MAX_AGE_MS),
    maxBytes: limit("maxBytes", given.maxBytes ?? DEFAULT_HISTORY.maxBytes, MAX_LIMIT),
  };
}

const MAX_LIMIT = Number.MAX_SAFE_INTEGER;
/** A hundred years: sums with the clock stay exact. */
const MAX_AGE_MS = 100 * 365 * 24 * 3_600_000;

function limit(name: string, value: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
  throw new RangeError(`history.${name} is ${value}; it may be an integer from 0 to ${max}.`);
}

/** Whether a change is older than the log may hold. */
export function isExpired(timeMs: number, nowMs: number, history: History): boolean {
  return nowMs - timeMs > history.maxAgeMs;
}

/** Whether the oldest change of the log has to leave. */
export function mustTrim(log: LogExtent, nowMs: number, history: History): boolean {
  if (log.count === 0) return false;
  return (
    log.count > history.maxChanges ||
    log.bytes > history.maxBytes ||
    isExpired(log.oldestTimeMs, nowMs, history)
  );
}

/**
 * When the group needs care although nobody writes it: its oldest change expires, or, when it has
 * neither items nor log, it may be forgotten. Undefined: not before its next change.
 *
 * A group is remembered until its last timestamp is past, so that timestamps stay increasing.
 */
export function nextCareMs(group: GroupAge, history: History): number | undefined {
  const { log } = group;
  // What a commit left over of a log that is too long is due at once.
  if (log.count > history.maxChanges || log.bytes > history.maxBytes) return log.oldestTimeMs;
  if (log.count > 0) return log.oldestTimeMs + history.maxAgeMs + 1;
  if (group.itemCount > 0) return undefined;
  return Math.max(group.lastChangeMs, group.timestamp) + history.maxAgeMs + 1;
}

/** Whether nothing of the group is left to remember. */
export function mayForget(group: GroupAge, nowMs: number, history: History): boolean {
  return (
    group.log.count === 0 &&
    group.itemCount === 0 &&
    isExpired(Math.max(group.lastChangeMs, group.timestamp), nowMs, history)
  );
}
