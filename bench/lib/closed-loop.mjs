/* Operations in a closed loop. */
import { Latencies } from "./arithmetic.mjs";

/**
 * Keeps a number of operations under way until the time is over. Rejects when one fails.
 *
 * @param {number} seconds
 * @param {number} inFlight
 * @param {(i: number) => Promise<unknown>} operation
 * @returns {Promise<import("./row.mjs").Round>}
 */
export async function closedLoop(seconds, inFlight, operation) {
  const latencies = new Latencies();
  const startMs = performance.now();
  const untilMs = startMs + seconds * 1000;
  let next = 0;
  const work = async () => {
    for (let sentMs = startMs; sentMs < untilMs;) {
      await operation(next++);
      const nowMs = performance.now();
      latencies.add(nowMs - sentMs);
      sentMs = nowMs;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  return {
    ops: latencies.count,
    seconds: (performance.now() - startMs) / 1000,
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
  };
}
