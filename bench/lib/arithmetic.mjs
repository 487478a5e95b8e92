/* What is computed of measured numbers. */

/** The middle one, or the mean of the two in the middle. @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const high = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const low = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (low + high) / 2;
}

/**
 * The range of values as a fraction of the median; 0.2 is 20 %.
 *
 * @param {readonly number[]} values
 */
export function spread(values) {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** Spread beyond which a median is not reliable. */
const NOISY_SPREAD = 0.2;

/** Whether values lie too far apart to be trusted. @param {readonly number[]} values */
export function isNoisy(values) {
  return values.length > 1 && !(spread(values) <= NOISY_SPREAD);
}

/**
 * Ratio of each pair of rounds, which were measured one after the other under the same conditions.
 *
 * @param {readonly number[]} ours
 * @param {readonly number[]} theirs
 */
export function pairRatios(ours, theirs) {
  if (ours.length !== theirs.length || ours.length === 0)
    throw new Error(`${ours.length} and ${theirs.length} rounds make no pairs.`);
  return ours.map((value, i) => value / (theirs[i] ?? Number.NaN));
}

/** Buckets per factor e, so that a quantile is right within one percent. */
const RESOLUTION = 50;
/** Times below a microsecond count as one microsecond. */
const SMALLEST_MS = 0.001;

/** A histogram of times: its memory does not depend on their number. */
export class Latencies {
  count = 0;
  /** @type {number[]} */
  #buckets = [];

  /** @param {number} ms @param {number} [times] */
  add(ms, times = 1) {
    const bucket = Math.floor(Math.log(Math.max(ms, SMALLEST_MS) / SMALLEST_MS) * RESOLUTION);
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + times;
    this.count += times;
  }

  /**
   * The quantile of the times, in milliseconds.
   *
   * @param {number} part From 0 to 1.
   */
  quantile(part) {
    let left = Math.max(1, Math.ceil(this.count * part));
    for (const [bucket, count = 0] of this.#buckets.entries()) {
      left -= count;
      if (left <= 0) return SMALLEST_MS * Math.exp((bucket + 0.5) / RESOLUTION);
    }
    return Number.NaN;
  }
}
