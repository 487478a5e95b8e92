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
