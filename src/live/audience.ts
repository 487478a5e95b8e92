/** Who listens to what of a group, counted, and when each was last told something. */
export class Audience {
  #whole = 0;
  #wholeToldAtMs = 0;
  #items: Map<string, { count: number; toldAtMs: number }> | undefined;

  /** Whether somebody follows the whole group. */
  get wantsAll(): boolean {
    return this.#whole > 0;
  }

  /** Ids of the items that somebody follows. */
  get itemIds(): string[] {
    return Array.from(this.#items?.keys() ?? []);
  }

  /** Adds one who follows an item; undefined: the whole group. */
  add(itemId: string | undefined): void {
    if (itemId === undefined) {
      this.#whole++;
      return;
    }
    this.#items ??= new Map();
    const entry = this.#items.get(itemId);
    if (entry === undefined) this.#items.set(itemId, { count: 1, toldAtMs: 0 });
    else entry.count++;
  }

  /** Takes back one add(). */
  remove(itemId: string | undefined): void {
    if (itemId === undefined) {
      this.#whole--;
      return;
    }
    const entry = this.#items?.get(itemId);
    if (entry !== undefined && --entry.count === 0) this.#items?.delete(itemId);
  }

  /** Whether an event of this item concerns somebody; undefined: an event of the group as a whole. */
  wants(itemId: string | undefined): boolean {
    return this.#whole > 0 || (itemId !== undefined && this.#items?.has(itemId) === true);
  }

  /** Notes that all whom a change of this item concerns are told of it. */
  tell(itemId: string, nowMs: number): void {
    this.#wholeToldAtMs = nowMs;
    const entry = this.#items?.get(itemId);
    if (entry !== undefined) entry.toldAtMs = nowMs;
  }

  /** When followers of this item, or of the whole group, were last told something; 0: never. */
  toldAtMs(itemId: string | undefined): number {
    if (itemId === undefined) return this.#wholeToldAtMs;
    return this.#items?.get(itemId)?.toldAtMs ?? 0;
  }
}
