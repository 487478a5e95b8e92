/**
 * A clock that reads the time once per turn of the event loop, however often it is called: for the
 * times that many thousand subscriptions note and that need not be exact to the millisecond.
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
