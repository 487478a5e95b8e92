/** Copies a byte range. The copy must not be modified. */
export type Copy = (bytes: Uint8Array, start: number, end: number) => Uint8Array;

/**
 * Makes copies that share slabs of memory, because a buffer for each costs several times as much. A
 * slab lives as long as its last copy.
 *
 * @param slabBytes Size of a slab: several times the longest copy.
 */
export function createSlab(slabBytes: number): Copy {
  let slab = new Uint8Array(0);
  let free = 0;
  return (bytes, start, end) => {
    const length = end - start;
    if (free < length) {
      slab = new Uint8Array(slabBytes);
      free = slabBytes;
    }
    const from = free - length;
    slab.set(bytes.subarray(start, end), from);
    free = from;
    return slab.subarray(from, from + length);
  };
}

/** Longest copy that V8 allocates on its own heap, where it costs almost nothing, in bytes. */
const MAX_ON_HEAP = 64;
/**
 * The slabs that copies share, by longest copy. A slab lives as long as its last copy, so it is at
 * most sixteen times as large as the shortest copy that it may hold.
 */
const SLABS = [
  { maxCopy: 256, bytes: 1024 },
  { maxCopy: 1024, bytes: 4096 },
];

/**
 * Makes copies of short byte ranges that outlive their source. A buffer for each costs more than
 * decoding a small value, and a single surviving copy would retain a large shared buffer.
 */
export function createKeeper(): Copy {
  const slabs = SLABS.map(({ maxCopy, bytes }) => ({ maxCopy, copy: createSlab(bytes) }));
  return (bytes, start, end) => {
    const length = end - start;
    if (length > MAX_ON_HEAP) {
      for (const { maxCopy, copy } of slabs) if (length <= maxCopy) return copy(bytes, start, end);
    }
    return bytes.slice(start, end);
  };
}
