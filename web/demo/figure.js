/**
 * Figures as the demo publishes them, their last two minutes, and their format.
 */
import { fieldsOf } from "./service.js";

/** The displayed history of a figure, in milliseconds. */
export const SHOWN_MS = 120_000;

/**
 * @typedef {object} Figure
 * @property {string} label
 * @property {string} unit
 * @property {number} value
 */

/** @typedef {readonly [atMs: number, value: number]} Point */

/**
 * Parses a figure; undefined: the value is not a figure.
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
     * Adds a value. It replaces a value of the same time; a late one is ignored.
     *
     * @param {number} atMs
     * @param {number} value
     */
    add(atMs, value) {
      const newestMs = points.at(-1)?.[0] ?? -1;
      if (atMs < newestMs) return;
      if (atMs === newestMs) points.pop();
      points.push([atMs, value]);
      // The newest of the too old values stays: the line starts there.
      let old = 0;
      while ((points[old + 1]?.[0] ?? atMs) < atMs - SHOWN_MS) old++;
      points.splice(0, old);
    },
    /**
     * Least and greatest displayed value.
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

/** Unit -> its multiples for display, and the factor between them. */
const SCALES = /** @type {const} */ ({
  bytes: [1024, "bytes", "KiB", "MiB", "GiB", "TiB"],
  "bytes/s": [1000, "B/s", "kB/s", "MB/s", "GB/s", "TB/s"],
});

/**
 * Formats a value to about three digits.
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
  // Percentages often vary around ten: a fixed number of digits keeps them steady.
  return { number: scaled.toFixed(unit === "%" ? 1 : digits), unit: units[place] ?? unit };
}
