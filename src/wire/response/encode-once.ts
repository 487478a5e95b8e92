/** Most that a recent cache keeps: more than a process sends of one kind in one turn of the event loop. */
const MAX_ENTRIES = 512;
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Remembers what was made of the last few keys: one encoding serves all who hear an event now, and is
 * not kept for as long as the event lies in a log.
 *
 * @param make Makes it; the context must follow from the key.
 * @param bytesOf About how much it takes.
 */
export function createRecent<K extends object, V, Context = void>(
  make: (key: K, context: Context) => V,
  bytesOf: (value: V, key: K) => number,
): (key: K, context: Context) => V {
  const made = new Map<K, V>();
  let bytes = 0;
  return (key, context) => {
    let value = made.get(key);
    if (value !== undefined) return value;
    value = make(key, context);
    made.set(key, value);
    bytes += bytesOf(value, key);
    for (const [oldest, old] of made) {
      if (made.size <= MAX_ENTRIES && bytes <= MAX_BYTES) break;
      made.delete(oldest);
      bytes -= bytesOf(old, oldest);
    }
    return value;
  };
}

/** For what is bytes. */
export const byteLengthOf = ({ byteLength }: Uint8Array): number => byteLength;
