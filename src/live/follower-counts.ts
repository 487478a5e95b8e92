/** Counts the followers of a group and of each item, and notes when each last received a frame. */
export class FollowerCounts {
  #whole = 0;
  #wholeSentAtMs = 0;
  #items: Map<string, { count: number; sentAtMs: number }> | undefined;

  /** Whether the whole group has a follower. */
  get wantsAll(): boolean {
    return this.#whole > 0;
  }

  /** Ids of the items that have a follower. */
  get itemIds(): string[] {
    return Array.from(this.#items?.keys() ?? []);
  }

  /** Counts a follower of an item; undefined: of the whole group. */
  add(itemId: string | undefined): void {
    if (itemId === undefined) {
      this.#whole++;
      return;
    }
    this.#items ??= new Map();
    const entry = this.#items.get(itemId);
    if (entry === undefined) this.#items.set(itemId, { count: 1, sentAtMs: 0 });
    else entry.count++;
  }

  /** Undoes one add(). */
  remove(itemId: string | undefined): void {
    if (itemId === undefined) {
      this.#whole--;
      return;
    }
    const entry = this.#items?.get(itemId);
    if (entry !== undefined && --entry.count === 0) this.#items?.delete(itemId);
  }

  /** Whether an event of this item has a follower; undefined: an event of the group as a whole. */
  wants(itemId: string | undefined): boolean {
    return this.#whole > 0 || (itemId !== undefined && this.#items?.has(itemId) === true);
  }

  /** Notes that a change of this item was sent to its followers and those of the whole group. */
  noteSent(itemId: string, nowMs: number): void {
    this.#wholeSentAtMs = nowMs;
    const entry = this.#items?.get(itemId);
    if (entry !== undefined) entry.sentAtMs = nowMs;
  }

  /** When a change was last sent to the followers of this item, or of the whole group; 0: never. */
  lastSentAtMs(itemId: string | undefined): number {
    if (itemId === undefined) return this.#wholeSentAtMs;
    return this.#items?.get(itemId)?.sentAtMs ?? 0;
  }
}
