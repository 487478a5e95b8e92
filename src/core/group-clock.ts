/*
 * The clock of a group. Timestamps of its events strictly increase, and a `sync` is never later
 * than an event that follows it. Clients that order by time drop frames older than the last one
 * they saw, so a sync of an epoch new to them has to be at least as late as everything they may
 * have seen before:
 *
 *     group                                 a sync carries      the next event gets
 *     remembered, its epoch goes on         its last timestamp  max(now, last + 1)
 *     remembered, in a restored lineage     max(last, began)    max(now, last + 1, began + 1)
 *     never written, forgotten or lost      now - 1 (*)         max(now, that + 1)
 *
 * "Now" is the store's clock. A sync of a group without a record stays one millisecond behind it,
 * so that an event of the same millisecond is later. (*) It does not go back when the clock does.
 */

/** Timestamp of a group's next event. @param floor The group's GroupClock.floor. */
export function nextTimestamp(last: number, nowMs: number, floor: number): number {
  return Math.max(nowMs, last + 1, floor + 1);
}

/** What a store has to remember of time, beside the last timestamp of each group. */
export class GroupClock {
  /** The latest timestamp of a sync of a group without events. */
  #lastSync = 0;
  #isHeld = false;

  /**
   * The timestamp that a group's next event must be later than, beside that of its last event.
   *
   * @param last Timestamp of the group's last event; 0 when it has no record.
   * @param beganMs When the lineage of its data began, in Unix milliseconds; 0: it is the first
   *   one.
   */
  floor(last: number, beganMs: number): number {
    return last === 0 ? this.#lastSync : beganMs;
  }

  /**
   * Timestamp of a sync of a group's state.
   *
   * @param last Timestamp of the group's last event; 0 when it has no record.
   * @param beganMs When the lineage of its data began, in Unix milliseconds; 0: it is the first
   *   one.
   * @param clock The store's clock, when the state is read.
   */
  sync(last: number, beganMs: number, clock: () => number): number {
    if (last > 0) return Math.max(last, beganMs);
    if (!this.#isHeld) this.#lastSync = Math.max(this.#lastSync, clock() - 1, 1);
    return this.#lastSync;
  }

  /**
   * Freezes the timestamp of such syncs. Stores whose commits are decided before they can be read
   * call it before the first decision, so that syncs read meanwhile stay earlier than those
   * commits.
   */
  hold(clock: () => number): void {
    this.sync(0, 0, clock);
    this.#isHeld = true;
  }

  /** Ends `hold`: the decided commits can be read, or have failed. */
  release(): void {
    this.#isHeld = false;
  }
}
