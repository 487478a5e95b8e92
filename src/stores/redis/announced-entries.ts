/** Most bytes of entries that are kept. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Outbox entries that were announced whole, until they are settled: triggers need not read them
 * again. The oldest are dropped first.
 */
export class ToldEntries {
  readonly #entries = new Map<string, Buffer>();
  #bytes = 0;

  /** Keeps an entry. */
  keep(partition: number, seq: number, packed: Buffer): void {
    const key = keyOf(partition, seq);
    if (this.#entries.has(key)) return;
    // A copy, because the message that contains it may be far larger.
    this.#entries.set(key, Buffer.from(packed));
    this.#bytes += packed.length;
    for (const [oldest] of this.#entries) {
      if (this.#bytes <= MAX_BYTES) return;
      this.#delete(oldest);
    }
  }

  /** The entry, if it is still kept. */
  get(partition: number, seq: number): Buffer | undefined {
    return this.#entries.get(keyOf(partition, seq));
  }

  /** Drops an entry. */
  forget(partition: number, seq: number): void {
    this.#delete(keyOf(partition, seq));
  }

  /** Drops all entries. */
  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #delete(key: string): void {
    this.#bytes -= this.#entries.get(key)?.length ?? 0;
    this.#entries.delete(key);
  }
}

function keyOf(partition: number, seq: number): string {
  return `${partition}:${seq}`;
}
