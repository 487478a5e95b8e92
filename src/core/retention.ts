/*
 * The log of a group: the changes that are still kept, and which positions it can resume. An
 * example with `maxChanges: 3`, in epoch e; `b/3` is item b at revision 3:
 *
 *     commit                   position   change       log        items, in creation order
 *     put a                    e/1        create a     1          a/1
 *     put b                    e/2        create b     1 2        a/1 b/2
 *     update b, increment      e/3        update b     1 2 3      a/1 b/3
 *     delete a                 e/4        delete a     2 3 4      b/3
 *     put a                    e/5        create a     3 4 5      b/3 a/5
 *     delete c (no such item)  e/5        none         3 4 5      b/3 a/5
 *
 * Every change takes the next revision, a delete too; a commit that changes nothing takes none. At
 * e/4 the log passes `maxChanges`: the oldest change is trimmed. The items are unaffected; a is
 * created anew at e/5, so it moves to the end. The log stays contiguous and ends at the head, so
 * its first revision is all that decides which positions can resume (isResumable). At e/5:
 *
 *     resume from   response
 *     e/2           resumed, then 3 4 5: change 3, the next one, is the oldest still kept
 *     e/5           resumed, then nothing until the next change
 *     e/1           a snapshot of b/3 a/5 at e/5: change 2 was trimmed, and a replay would miss it
 *     e/6, d/4      a snapshot: e never was at 6, and nothing is known of d
 *     the origin    a snapshot; it was resumable up to e/3, while the log began at 1
 *
 * Without further writes, changes 3 4 5 expire `maxAgeMs` after their commits and the sweep trims
 * them: the log is empty and only e/5 resumes. The group itself is kept, because it holds items. A
 * group without items is forgotten once its log is empty too, and the idempotency keys of its writes
 * have expired; its next put is f/1, in a new epoch, which no position of e can resume.
 */
import { DEFAULT_HISTORY } from "./store.ts";
import type { History } from "./store.ts";

/** The size and age of a group's log. */
export interface LogExtent {
  /** Number of changes. */
  readonly count: number;
  /** Bytes of their values, by `Value.size`. */
  readonly bytes: number;
  /** Wall clock of the oldest change, Unix milliseconds. Meaningless while the log is empty. */
  readonly oldestTimeMs: number;
}

/** Inputs of the decision when to sweep an idle group. */
export interface GroupAge {
  readonly log: LogExtent;
  readonly itemCount: number;
  /** Wall clock of the last change, Unix milliseconds; 0 when there was none. */
  readonly lastChangeMs: number;
  /** Timestamp of the last event, which may run ahead of the wall clock. */
  readonly timestamp: number;
  /**
   * When to sweep it for its idempotency keys, Unix milliseconds (see keysSweepMs); undefined: it
   * has none.
   */
  readonly keysSweepMs?: number | undefined;
}

/** Limits of history; absent limits have their defaults. */
export type HistoryOptions = { readonly [Limit in keyof History]?: History[Limit] | undefined };

/** Fills in the defaults of absent limits, and checks the others. @throws RangeError */
export function historyOf(given: HistoryOptions = {}): History {
  return {
    maxChanges: limit("maxChanges", given.maxChanges ?? DEFAULT_HISTORY.maxChanges, MAX_LIMIT),
    maxAgeMs: limit("maxAgeMs", given.maxAgeMs ?? DEFAULT_HISTORY.maxAgeMs, MAX_AGE_MS),
    maxBytes: limit("maxBytes", given.maxBytes ?? DEFAULT_HISTORY.maxBytes, MAX_LIMIT),
  };
}

/** How much history the groups of a stream keep. */
export type HistoryOf = (streamName: string) => History;

/** The history of each stream, given that of all, or a function. @throws RangeError */
export function historyOfStreams(given: HistoryOptions | HistoryOf = {}): HistoryOf {
  if (typeof given === "function") return given;
  const history = historyOf(given);
  return () => history;
}

const MAX_LIMIT = Number.MAX_SAFE_INTEGER;
/** A hundred years: sums with the clock stay safe integers. */
const MAX_AGE_MS = 100 * 365 * 24 * 3_600_000;

function limit(name: string, value: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
  throw new RangeError(`history.${name} is ${value}; it may be an integer from 0 to ${max}.`);
}

/** Whether a change is older than the log may keep it. */
export function isExpired(timeMs: number, nowMs: number, history: History): boolean {
  return nowMs - timeMs > history.maxAgeMs;
}

/** Whether the oldest change of the log must be trimmed. */
export function mustTrim(log: LogExtent, nowMs: number, history: History): boolean {
  if (log.count === 0) return false;
  return (
    log.count > history.maxChanges ||
    log.bytes > history.maxBytes ||
    isExpired(log.oldestTimeMs, nowMs, history)
  );
}

/**
 * When an idle group is next due for a sweep: when its oldest change or idempotency key expires or,
 * without any and without items, when it may be forgotten. Undefined: not before its next change.
 *
 * A group is remembered until its last timestamp has passed, so that timestamps keep increasing.
 */
export function nextSweepMs(group: GroupAge, history: History): number | undefined {
  const { keysSweepMs } = group;
  const own = ownSweepMs(group, history);
  if (keysSweepMs === undefined) return own;
  // An empty group is not forgotten before its keys.
  if (own === undefined || (group.log.count === 0 && group.itemCount === 0)) return keysSweepMs;
  return Math.min(own, keysSweepMs);
}

/** When the group is due for its changes and for itself. */
function ownSweepMs(group: GroupAge, history: History): number | undefined {
  const { log } = group;
  // A commit may leave the log over its limits: the rest is due at once.
  if (log.count > history.maxChanges || log.bytes > history.maxBytes) return log.oldestTimeMs;
  if (log.count > 0) return log.oldestTimeMs + history.maxAgeMs + 1;
  if (group.itemCount > 0) return undefined;
  return Math.max(group.lastChangeMs, group.timestamp) + history.maxAgeMs + 1;
}

/** Whether the group may be forgotten. */
export function mayForget(group: GroupAge, nowMs: number, history: History): boolean {
  return (
    group.log.count === 0 &&
    group.itemCount === 0 &&
    group.keysSweepMs === undefined &&
    isExpired(Math.max(group.lastChangeMs, group.timestamp), nowMs, history)
  );
}
