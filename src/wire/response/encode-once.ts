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

/**
 * Two caches of encodings: for readers that get authors and for those that do not. A key without
 * author has one encoding for both.
 *
 * @param make As of createRecent; `withAuthor`: whether the encoding has the author.
 */
export function createRecentForReaders<K extends object, V, Context = void>(
  make: (key: K, withAuthor: boolean, context: Context) => V,
  hasAuthor: (key: K) => boolean,
  bytesOf: (value: V, key: K) => number,
): (key: K, withAuthor: boolean, context: Context) => V {
  const whole = createRecent<K, V, Context>((key, context) => make(key, true, context), bytesOf);
  const bare = createRecent<K, V, Context>((key, context) => make(key, false, context), bytesOf);
  return (key, withAuthor, context) =>
    withAuthor || !hasAuthor(key) ? whole(key, context) : bare(key, context);
}

/** The size of values that are bytes. */
export const byteLengthOf = ({ byteLength }: Uint8Array): number => byteLength;
