import type { Position } from "./position.ts";

/**
 * Identifies a commit among those of its group, so that a repetition changes nothing.
 *
 * A store remembers the key in the same atomic step as the commit, for the idempotency window
 * (10 minutes by default) after it, and at most 10,000 keys per group: beyond that the oldest are
 * dropped. A repetition has the outcome of the first commit, without values, whatever the group is
 * like by now; expectations and values are not looked at. A refused commit is not remembered; one
 * that changed nothing (the delete of a missing item) is. A group that has keys is not forgotten.
 */
export interface Idempotency {
  /** Who chose the key: keys of different callers never meet. At most 300 bytes. */
  readonly caller: string;
  /** 1 to 128 bytes. */
  readonly key: string;
  /**
   * Digest of the request as it was decoded, before gates changed it: ASCII without spaces. A commit
   * with a remembered key and another fingerprint is refused: IDEMPOTENCY_MISMATCH.
   */
  readonly fingerprint: string;
}

/** The outcome of a commit, as it is remembered under its key. */
export interface Remembered {
  /** That of its request. */
  readonly fingerprint: string;
  /** Position of the group after the commit. */
  readonly position: Position;
  /**
   * One letter per mutation: `c`, it created its item, `u`, it changed or removed it, `-`, it did
   * nothing. Revisions need no room: each effect took the next one, the last that of `position`.
   */
  readonly effects: string;
}
