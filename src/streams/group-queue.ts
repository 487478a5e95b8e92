import { type GroupKey, groupKeyText } from "../core/names.ts";

/** Of this many groups that are taken, one is of the backlog, as long as there are both kinds. */
const BACKLOG_SHARE = 4;

/**
 * Groups that wait for a worker: those that were written, and a backlog of those that may wait longer,
 * which gets a share of the work. Each of the two is in order. A group is with one worker at a time.
 */
export class GroupQueue {
  readonly #fresh = new Map<string, GroupKey>();
  readonly #backlog = new Map<string, GroupKey>();
  /** Groups that are with a worker, and whether they were written meanwhile. */
  readonly #taken = new Map<string, boolean>();
  /** Groups taken since the last one of the backlog. */
  #freshTaken = 0;

  /** Adds a group that was written. */
  addFresh(group: GroupKey): void {
    const text = groupKeyText(group);
    if (this.#taken.has(text)) {
      this.#taken.set(text, true);
      return;
    }
    this.#backlog.delete(text);
    this.#fresh.set(text, group);
  }

  /** Adds a group that may wait longer. */
  addToBacklog(group: GroupKey): void {
    const text = groupKeyText(group);
    if (this.#taken.has(text) || this.#fresh.has(text)) return;
    this.#backlog.set(text, group);
  }

  /** Takes the next group; undefined when there is none. */
  take(): GroupKey | undefined {
    const isBacklogDue = this.#freshTaken >= BACKLOG_SHARE - 1 && this.#backlog.size > 0;
    const queue = isBacklogDue || this.#fresh.size === 0 ? this.#backlog : this.#fresh;
    this.#freshTaken = queue === this.#backlog ? 0 : this.#freshTaken + 1;
    for (const [text, group] of queue) {
      queue.delete(text);
      this.#taken.set(text, false);
      return group;
    }
    return undefined;
  }

  /**
   * Ends the work on a group that was taken.
   *
   * @param hasMore Whether it goes to the end of the backlog.
   */
  finish(group: GroupKey, hasMore: boolean): void {
    const text = groupKeyText(group);
    const wasWritten = this.#taken.get(text) === true;
    this.#taken.delete(text);
    if (hasMore) this.addToBacklog(group);
    else if (wasWritten) this.addFresh(group);
  }
}
