import { type Copy, createSlab } from "./slab.ts";

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
