/** Bodies from this size on are decoded one per turn of the event loop, in bytes. */
export const LARGE_BODY_BYTES = 256 * 1024;

const waiting: (() => void)[] = [];

/**
 * Waits for the turn of a large body. Decoding one may take tens of milliseconds, so when many are
 * complete at once, other calls are served between any two of them.
 */
export function largeBodyTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(takeTurn);
  });
}

function takeTurn(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(takeTurn);
}
