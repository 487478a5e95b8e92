/** Copies a byte range, to bytes that nobody changes. */
export type Copy = (bytes: Uint8Array, start: number, end: number) => Uint8Array;

/**
 * Makes copies that share a slab of memory, and the next one when it is full: an own buffer for each costs
 * several times as much. A slab lives as long as its last copy.
 *
 * @param slabBytes Several times the longest copy.
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

/** Longest copy that the engine keeps on its own heap, where it costs next to nothing. */
const MAX_ON_HEAP = 64;
/**
 * Slabs that copies share, by the longest copy. A slab lives as long as its last copy, so it is at most
 * sixteen times as large as the shortest that it may hold.
 */
const SLABS = [
  { maxCopy: 256, bytes: 1024 },
  { maxCopy: 1024, bytes: 4096 },
];

/**
 * Makes copies of short byte ranges that outlive their source. An own buffer for each costs more
 * than decoding a small value, and a large shared one would be held by a single survivor.
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
