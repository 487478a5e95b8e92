/**
 * A place in the history of one group.
 *
 * Revisions are contiguous from 1 within an epoch. A never-written group is at
 * `{epoch: "", revision: 0}`. Positions of different epochs cannot be compared.
 */
export interface Position {
  /** Opaque name of an unbroken history; empty for a group that was never written. */
  readonly epoch: string;
  /** Number of the group's last change, at most 2^53-1. */
  readonly revision: number;
}

/** Position of a group that was never written. */
export const ORIGIN: Position = Object.freeze({ epoch: "", revision: 0 });

/** Whether two positions are equal. */
export function samePosition(a: Position, b: Position): boolean {
  return a.revision === b.revision && a.epoch === b.epoch;
}

/**
 * Whether a replay from `from` is complete, given the group's head and log (guarantee G4).
 *
 * It is when the epoch matches, `from` is not ahead, and the log still holds every later change.
 * The origin is honoured as long as the log still begins at revision 1.
 *
 * @param logStart Revision of the oldest change in the log; `head.revision + 1` when it is empty.
 */
export function isResumable(from: Position, head: Position, logStart: number): boolean {
  const sameHistory = from.epoch === head.epoch || (from.epoch === "" && from.revision === 0);
  return sameHistory && from.revision <= head.revision && from.revision + 1 >= logStart;
}

/** Whether a change at a position comes after a cursor, or belongs to another history. */
export function isAfter({ epoch, revision }: Position, cursor: Position): boolean {
  return epoch !== cursor.epoch || revision > cursor.revision;
}

/**
 * Whether a change at a position is the first after a cursor. Any history may follow the origin.
 */
export function isNext({ epoch, revision }: Position, cursor: Position): boolean {
  return (epoch === cursor.epoch || cursor.epoch === "") && revision === cursor.revision + 1;
}
