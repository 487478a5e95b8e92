/**
 * A clock that is looked at once per turn of the event loop, however often it is asked: for times that
 * many thousand subscriptions note and nobody needs to the millisecond.
 */
export function turnClock(now: () => number): () => number {
  let atMs = 0;
  let isFresh = false;
  const expire = () => (isFresh = false);
  return () => {
    if (isFresh) return atMs;
    isFresh = true;
    setImmediate(expire);
    return (atMs = now());
  };
}
