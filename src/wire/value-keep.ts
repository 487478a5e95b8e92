/** Longest copy that the engine keeps on its own heap, where it costs next to nothing. */
const MAX_ON_HEAP = 64;
/** Longest copy that shares a slab. A slab lives as long as its last copy, so it has to be small. */
const MAX_SHARED = 256;
const SLAB_BYTES = 1024;

/**
 * Makes copies of short byte ranges that outlive their source. An own buffer for each costs more
 * than decoding a small value, and a large shared one would be held by a single survivor.
 */
export function createKeeper(): (bytes: Uint8Array, start: number, end: number) => Uint8Array {
  let slab = new Uint8Array(0);
  let free = 0;
  return (bytes, start, end) => {
    const length = end - start;
    if (length <= MAX_ON_HEAP || length > MAX_SHARED) return bytes.slice(start, end);
    if (free < length) {
      slab = new Uint8Array(SLAB_BYTES);
      free = SLAB_BYTES;
    }
    const from = free - length;
    slab.set(bytes.subarray(start, end), from);
    free = from;
    return slab.subarray(from, from + length);
  };
}
