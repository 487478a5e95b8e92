/*
 * The clock of a group. Timestamps of its events strictly increase, and a `sync` is never later than an
 * event that comes after it. Clients that order by time drop what is older than what they saw, so a sync
 * of an epoch that they cannot know has to be at least as late as all that they may have seen before:
 *
 *     group                                       a sync carries                the next event gets
 *     remembered, its epoch goes on               its last timestamp            max(now, last + 1)
 *     remembered, in a lineage that began anew    max(last, began)              max(now, last + 1, began + 1)
 *     never written, forgotten or lost            now - 1, never an earlier one max(now, that + 1)
 *
 * "Now" is the store's clock. A sync of a group of which nothing is known stays one millisecond behind it,
 * so that an event of the same millisecond is later; it does not go back when the clock does.
 */

/** Timestamp of a group's next event. @param floor What GroupClock.floor says of the group. */
export function nextTimestamp(last: number, nowMs: number, floor: number): number {
  return Math.max(nowMs, last + 1, floor + 1);
}

/** What a store has to remember beside the last timestamp of each group. */
export class GroupClock {
  /** The latest timestamp that a sync of a group without a timestamp was given. */
  #told = 0;
  #isHeld = false;

  /**
   * What the next event of a group must be later than, beside the group's last event.
   *
   * @param last Timestamp of the group's last event; 0 when nothing is known of it.
   * @param beganMs When the lineage of its data began, in Unix milliseconds; 0: it is the first one.
   */
  floor(last: number, beganMs: number): number {
    return last === 0 ? this.#told : beganMs;
  }

  /**
   * Timestamp of a sync of a group's state.
   *
   * @param last Timestamp of the group's last event; 0 when nothing is known of it.
   * @param beganMs When the lineage of its data began, in Unix milliseconds; 0: it is the first one.
   * @param clock The store's clock, when the state is read.
   */
  sync(last: number, beganMs: number, clock: () => number): number {
    if (last > 0) return Math.max(last, beganMs);
    if (!this.#isHeld) this.#told = Math.max(this.#told, clock() - 1, 1);
    return this.#told;
  }

  /**
   * For stores whose commits are decided before they can be read: to be called before the first is
   * decided. Syncs that are read meanwhile are before it.
   */
  hold(clock: () => number): void {
    this.sync(0, 0, clock);
    this.#isHeld = true;
  }

  /** What was decided can be read, or came to nothing. */
  release(): void {
    this.#isHeld = false;
  }
}
