/** Limits of a cache: more than a process sends of one kind in one turn of the event loop. */
const MAX_ENTRIES = 512;
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Caches the values of recent keys: one encoding serves all current subscribers of an event, and
 * does not live as long as the event does in a log.
 *
 * @param make Makes the value of a key; the key must determine the context.
 * @param bytesOf Approximate size of a value.
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

/** The size of values that are bytes. */
export const byteLengthOf = ({ byteLength }: Uint8Array): number => byteLength;
