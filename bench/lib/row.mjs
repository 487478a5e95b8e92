/* Rows: what was measured, against what, and whether that is enough. */
import { isNoisy, median, pairRatios } from "./arithmetic.mjs";

/**
 * @typedef {object} Round The result of one round.
 * @property {number} ops Operations with a correct response.
 * @property {number} seconds Wall time.
 * @property {number} p50Ms Latency.
 * @property {number} p99Ms
 * @property {number} [cpuSeconds] Of the server's process.
 *
 * @typedef {object} Metric A measured quantity.
 * @property {string} name
 * @property {string} unit
 * @property {(round: Round) => number} of
 *
 * @typedef {object} Target What the median of the ratios, or of our values, should be.
 * @property {"ratio" | "value"} of
 * @property {number} [least]
 * @property {number} [most]
 *
 * @typedef {object} Side Values of one side, round by round.
 * @property {number[]} values
 * @property {number[]} [cpuMicros] CPU time of the server per operation, in microseconds.
 * @property {number[]} [p50Ms]
 * @property {number[]} [p99Ms]
 *
 * @typedef {object} Row
 * @property {string} what
 * @property {{ name: string, unit: string }} metric
 * @property {Side} ours
 * @property {(Side & { name: string }) | undefined} baseline
 * @property {number[] | undefined} ratios Ours by theirs, pair by pair.
 * @property {{ text: string, met: boolean } | undefined} target
 * @property {boolean} noisy
 */

/** Operations per second. @param {string} what @returns {Metric} */
export const perSecond = (what) => ({
  name: `${what}/s`,
  unit: "",
  of: ({ ops, seconds }) => ops / seconds,
});

/** Operations per second of the server's CPU. @param {string} what @returns {Metric} */
export const perCpuSecond = (what) => ({
  name: `${what} per CPU second`,
  unit: "",
  of: ({ ops, cpuSeconds = Number.NaN }) => ops / cpuSeconds,
});

/** CPU time of the server for one operation. @type {Metric} */
export const CPU_MICROS = {
  name: "server CPU per operation",
  unit: "us",
  of: ({ ops, cpuSeconds = Number.NaN }) => (cpuSeconds / ops) * 1e6,
};

/** Median latency. @type {Metric} */
export const P50 = { name: "p50", unit: "ms", of: ({ p50Ms }) => p50Ms };
/** The 99th percentile of the latency. @type {Metric} */
export const P99 = { name: "p99", unit: "ms", of: ({ p99Ms }) => p99Ms };

/** The ratio should be so much or more. @param {number} least @returns {Target} */
export const ratioAtLeast = (least) => ({ of: "ratio", least });
/** The ratio should be so much or less. @param {number} most @returns {Target} */
export const ratioAtMost = (most) => ({ of: "ratio", most });
/** Our value should be so much or more. @param {number} least @returns {Target} */
export const valueAtLeast = (least) => ({ of: "value", least });
/** Our value should be so much or less. @param {number} most @returns {Target} */
export const valueAtMost = (most) => ({ of: "value", most });

/**
 * Creates a row from rounds.
 *
 * @param {object} given
 * @param {string} given.what
 * @param {Metric} given.metric
 * @param {readonly Round[]} given.ours
 * @param {{ name: string, rounds: readonly Round[] }} [given.against]
 * @param {Target} [given.target]
 * @returns {Row}
 */
export function rowOf({ what, metric, ours, against, target }) {
  const baseline = against && { name: against.name, ...sideOf(metric, against.rounds) };
  return plainRow({ what, metric, ours: sideOf(metric, ours), baseline, target });
}

/**
 * Creates a row from plain values.
 *
 * @param {object} given
 * @param {string} given.what
 * @param {{ name: string, unit: string }} given.metric
 * @param {Side} given.ours
 * @param {(Side & { name: string }) | undefined} [given.baseline]
 * @param {Target | undefined} [given.target]
 * @returns {Row}
 */
export function plainRow({ what, metric, ours, baseline, target }) {
  const ratios = baseline && pairRatios(ours.values, baseline.values);
  return {
    what,
    metric: { name: metric.name, unit: metric.unit },
    ours,
    baseline,
    ratios,
    target: target && judge(target, target.of === "ratio" ? ratios : ours.values),
    noisy: isNoisy(ratios ?? ours.values),
  };
}

/** @param {Metric} metric @param {readonly Round[]} rounds @returns {Side} */
function sideOf(metric, rounds) {
  const side = {
    values: rounds.map(metric.of),
    p50Ms: rounds.map(P50.of),
    p99Ms: rounds.map(P99.of),
  };
  const hasCpu = rounds.every(({ cpuSeconds }) => cpuSeconds !== undefined);
  return hasCpu ? { ...side, cpuMicros: rounds.map(CPU_MICROS.of) } : side;
}

/** @param {Target} target @param {readonly number[] | undefined} values */
function judge({ of, least, most }, values = []) {
  const unit = of === "ratio" ? "x" : "";
  const text =
    least === undefined
      ? `<= ${(most ?? 0).toLocaleString("en-US")}${unit}`
      : `>= ${least.toLocaleString("en-US")}${unit}`;
  const value = median(values);
  return { text, met: value >= (least ?? -Infinity) && value <= (most ?? Infinity) };
}
