/* How benchmarks say what they measured. */
import { median } from "./arithmetic.mjs";

/**
 * A table in Markdown.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
export function table(head, rows) {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  /** @param {readonly string[]} cells */
  const line = (cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** A number for people: three digits, or all of a whole number of more. @param {number} value */
export function shown(value) {
  if (!Number.isFinite(value)) return "?";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toPrecision(3);
}

const HEAD = [
  "what",
  "metric",
  "ours",
  "against",
  "theirs",
  "ratio of a pair (from to)",
  "server CPU us/op, ours",
  "theirs",
  "target",
  "met",
  "",
];

/** The table of rows. @param {readonly import("./row.mjs").Row[]} rows */
export function rowTable(rows) {
  return table(HEAD, rows.map(cellsOf));
}

/** @param {import("./row.mjs").Row} row */
function cellsOf({ what, metric, ours, baseline, ratios, target, noisy }) {
  /** @param {readonly number[] | undefined} values */
  const cpu = (values) => (values === undefined ? "" : shown(median(values)));
  return [
    what,
    metric.unit === "" ? metric.name : `${metric.name} (${metric.unit})`,
    shown(median(ours.values)),
    baseline?.name ?? "",
    baseline === undefined ? "" : shown(median(baseline.values)),
    ratios === undefined
      ? ""
      : `${shown(median(ratios))} (${shown(Math.min(...ratios))} to ${shown(Math.max(...ratios))})`,
    cpu(ours.cpuMicros),
    cpu(baseline?.cpuMicros),
    target?.text ?? "",
    target === undefined ? "" : target.met ? "yes" : "no",
    noisy ? "noisy" : "",
  ];
}
