/**
 * Figures as the demo publishes them, their last two minutes, and how people read them.
 */
import { fieldsOf } from "./service.js";

/** How much of a figure's past is shown, in milliseconds. */
export const SHOWN_MS = 120_000;

/**
 * @typedef {object} Figure
 * @property {string} label
 * @property {string} unit
 * @property {number} value
 */

/** @typedef {readonly [atMs: number, value: number]} Point */

/**
 * Reads a figure; undefined: the value is something else.
 *
 * @param {unknown} data
 * @returns {Figure | undefined}
 */
export function figureOf(data) {
  const { label, unit, value } = fieldsOf(data);
  if (typeof label !== "string" || typeof unit !== "string" || typeof value !== "number") return;
  return { label, unit, value };
}

/**
 * A figure's last two minutes.
 *
 * @param {readonly Point[]} [saved]
 */
export function createHistory(saved = []) {
  const points = [...saved];
  return {
    /** @type {readonly Point[]} In the order of time. */
    points,
    /**
     * Adds a value. One of the same time takes the place of the other; an earlier one is late, and
     * nothing.
     *
     * @param {number} atMs
     * @param {number} value
     */
    add(atMs, value) {
      const newestMs = points.at(-1)?.[0] ?? -1;
      if (atMs < newestMs) return;
      if (atMs === newestMs) points.pop();
      points.push([atMs, value]);
      // One that is too old stays: the line comes in from there.
      let old = 0;
      while ((points[old + 1]?.[0] ?? atMs) < atMs - SHOWN_MS) old++;
      points.splice(0, old);
    },
    /**
     * Least and greatest value that is shown.
     *
     * @param {number} nowMs
     * @returns {{ min: number, max: number } | undefined} Undefined when there is none.
     */
    range(nowMs) {
      const shown = points.filter(([atMs]) => atMs >= nowMs - SHOWN_MS).map(([, value]) => value);
      if (shown.length === 0) return undefined;
      return { min: Math.min(...shown), max: Math.max(...shown) };
    },
  };
}

/** @typedef {ReturnType<typeof createHistory>} History */

/** Unit -> the larger units that people read instead, and how many of the one before make one. */
const SCALES = /** @type {const} */ ({
  bytes: [1024, "bytes", "KiB", "MiB", "GiB", "TiB"],
  "bytes/s": [1000, "B/s", "kB/s", "MB/s", "GB/s", "TB/s"],
});

/**
 * Writes a value as people read it, to three digits or so.
 *
 * @param {number} value
 * @param {string} unit
 * @returns {{ number: string, unit: string }}
 */
export function readable(value, unit) {
  const [step, ...units] = unit === "bytes" || unit === "bytes/s" ? SCALES[unit] : [1, unit];
  let scaled = value;
  let place = 0;
  while (Math.abs(scaled) >= step && place < units.length - 1) {
    scaled /= step;
    place++;
  }
  const isWhole = Number.isInteger(scaled) || Math.abs(scaled) >= 100;
  const digits = isWhole ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
  // Shares go up and down around ten all the time: a fixed number of digits keeps them calm.
  return { number: scaled.toFixed(unit === "%" ? 1 : digits), unit: units[place] ?? unit };
}
