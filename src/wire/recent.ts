/** Most entries of a recent cache: more than a process sends of one kind in one turn of the event loop. */
const MAX_ENTRIES = 512;

/**
 * Remembers what was made of the last few keys: one encoding serves all who hear an event now, and is
 * not kept for as long as the event lies in a log.
 *
 * @param make Makes it; what follows the key must follow from the key.
 */
export function createRecent<K extends object, V, Rest extends unknown[]>(
  make: (key: K, ...rest: Rest) => V,
): (key: K, ...rest: Rest) => V {
  const made = new Map<K, V>();
  return (key, ...rest) => {
    let value = made.get(key);
    if (value !== undefined) return value;
    value = make(key, ...rest);
    made.set(key, value);
    if (made.size > MAX_ENTRIES) made.delete(made.keys().next().value as K);
    return value;
  };
}
