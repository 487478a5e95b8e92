/** Number of leading entries of an ascending list whose key is at most `limit`. */
export function countUpTo<T>(
  sorted: readonly T[],
  limit: number,
  key: (entry: T) => number,
): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (key(sorted[middle] as T) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Number of leading entries of an ascending list whose key is below `limit`. */
export function countBelow<T>(
  sorted: readonly T[],
  limit: number,
  key: (entry: T) => number,
): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (key(sorted[middle] as T) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The list of a key, created when it is missing. */
export function listAt<K, T>(lists: Map<K, T[]>, key: K): T[] {
  let list = lists.get(key);
  if (list === undefined) lists.set(key, (list = []));
  return list;
}
