import { RecentMap } from "../../core/recent-map.ts";

/** Most bytes of entries that are kept. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Outbox entries that were announced whole, until they are settled: triggers need not read them
 * again. The least recently used are dropped first.
 */
export class AnnouncedEntries {
  #entries = newEntries();

  /** Keeps an entry. */
  keep(partition: number, seq: number, packed: Buffer): void {
    const key = keyOf(partition, seq);
    // A copy, because the message that contains it may be far larger.
    if (this.#entries.get(key) === undefined) this.#entries.set(key, Buffer.from(packed));
  }

  /** The entry, if it is still kept. */
  get(partition: number, seq: number): Buffer | undefined {
    return this.#entries.get(keyOf(partition, seq));
  }

  /** Drops an entry. */
  forget(partition: number, seq: number): void {
    this.#entries.delete(keyOf(partition, seq));
  }

  /** Drops all entries. */
  clear(): void {
    this.#entries = newEntries();
  }
}

function newEntries(): RecentMap<string, Buffer> {
  return new RecentMap(MAX_BYTES, ({ length }) => length);
}

function keyOf(partition: number, seq: number): string {
  return `${partition}:${seq}`;
}
