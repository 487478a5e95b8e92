import type { Position } from "./position.ts";

/** Which changes the log of a group holds. */
export interface LogRange {
  /** Position of the group. */
  readonly head: Position;
  /**
   * Revision of the oldest change that is neither trimmed nor expired; when there is none, the one
   * after the head.
   */
  readonly oldest: number;
}
