// A chunk is split above this size: large enough for few chunks, small enough for cheap moves.
const MAX_CHUNK = 512;

interface Chunk<K, V> {
  readonly keys: K[];
  readonly values: V[];
}

/**
 * A map that keeps its keys in order. Lookup, insertion and deletion cost O(log n) comparisons and
 * the move of one small chunk; iteration from any key costs O(1) per entry after the lookup.
 */
export class SortedMap<K, V> {
  readonly #compare: (a: K, b: K) => number;
  readonly #chunks: Chunk<K, V>[] = [];
  #size = 0;

  /** An empty map in the order of `compare`. */
  constructor(compare: (a: K, b: K) => number) {
    this.#compare = compare;
  }

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** The first entry; undefined when there is none. */
  first(): readonly [K, V] | undefined {
    const chunk = this.#chunks[0];
    return chunk === undefined ? undefined : [chunk.keys[0]!, chunk.values[0]!];
  }

  /** Adds an entry, or replaces the value of its key. */
  set(key: K, value: V): void {
    const chunks = this.#chunks;
    // A key after all others goes to the end of the last chunk.
    const chunkIndex = Math.max(0, Math.min(this.#chunkOf(key), chunks.length - 1));
    const chunk = chunks[chunkIndex] ?? { keys: [], values: [] };
    if (chunks.length === 0) chunks.push(chunk);
    const index = this.#placeIn(chunk, key);
    if (index < chunk.keys.length && this.#compare(chunk.keys[index]!, key) === 0) {
      chunk.values[index] = value;
      return;
    }
    chunk.keys.splice(index, 0, key);
    chunk.values.splice(index, 0, value);
    this.#size += 1;
    if (chunk.keys.length <= MAX_CHUNK) return;
    // Appends of growing keys leave full chunks behind; other chunks are halved.
    const grows = index === MAX_CHUNK && chunkIndex === chunks.length - 1;
    const half = grows ? MAX_CHUNK : MAX_CHUNK >>> 1;
    chunks.splice(chunkIndex + 1, 0, {
      keys: chunk.keys.splice(half),
      values: chunk.values.splice(half),
    });
  }

  /** Removes an entry. @returns Whether it was there. */
  delete(key: K): boolean {
    const chunkIndex = this.#chunkOf(key);
    const chunk = this.#chunks[chunkIndex];
    if (chunk === undefined) return false;
    const index = this.#placeIn(chunk, key);
    if (this.#compare(chunk.keys[index]!, key) !== 0) return false;
    chunk.keys.splice(index, 1);
    chunk.values.splice(index, 1);
    this.#size -= 1;
    if (chunk.keys.length === 0) this.#chunks.splice(chunkIndex, 1);
    return true;
  }

  /**
   * Entries with keys after `after` (default: all), in order. The map must not change meanwhile.
   */
  *entries(after?: K): Generator<readonly [K, V]> {
    let chunkIndex = after === undefined ? 0 : this.#chunkOf(after);
    let index = 0;
    const first = this.#chunks[chunkIndex];
    if (after !== undefined && first !== undefined) {
      index = this.#placeIn(first, after);
      if (this.#compare(first.keys[index]!, after) === 0) index += 1;
    }
    for (; chunkIndex < this.#chunks.length; chunkIndex++, index = 0) {
      const { keys, values } = this.#chunks[chunkIndex]!;
      for (; index < keys.length; index++) yield [keys[index]!, values[index]!];
    }
  }

  /**
   * Entries with keys before `before` (default: all), the last one first. The map must not change
   * meanwhile.
   */
  *reversed(before?: K): Generator<readonly [K, V]> {
    const last = this.#chunks.length - 1;
    let chunkIndex = before === undefined ? last : Math.min(this.#chunkOf(before), last);
    let end = this.#chunks[chunkIndex]?.keys.length ?? 0;
    if (before !== undefined && end > 0) end = this.#placeIn(this.#chunks[chunkIndex]!, before);
    while (chunkIndex >= 0) {
      const { keys, values } = this.#chunks[chunkIndex]!;
      for (let index = end - 1; index >= 0; index--) yield [keys[index]!, values[index]!];
      chunkIndex -= 1;
      end = this.#chunks[chunkIndex]?.keys.length ?? 0;
    }
  }

  /** The first chunk whose last key is not before `key`. */
  #chunkOf(key: K): number {
    return partition(this.#chunks.length, (i) => {
      const { keys } = this.#chunks[i]!;
      return this.#compare(keys[keys.length - 1]!, key) < 0;
    });
  }

  #placeIn(chunk: Chunk<K, V>, key: K): number {
    return partition(chunk.keys.length, (i) => this.#compare(chunk.keys[i]!, key) < 0);
  }
}

/** Number of leading indexes for which `before` holds. */
function partition(length: number, before: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (before(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
