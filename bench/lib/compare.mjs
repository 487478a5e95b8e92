/* Whether two runs say the same. */
import { readFile } from "node:fs/promises";
import { median } from "./arithmetic.mjs";
import { shown, table } from "./table.mjs";

/** Largest difference of the ratios of two runs, as a fraction of the first. */
const TOLERANCE = 0.2;

/**
 * Compares the results of two runs, ratio by ratio.
 *
 * @param {string} first A file that --json wrote.
 * @param {string} second
 * @returns {Promise<number>} How many ratios differ by more than a fifth, those aside that a run
 *   marks as noisy.
 */
export async function compareRuns(first, second) {
  const [before, after] = await Promise.all([first, second].map(readRows));
  let compared = 0;
  let noisy = 0;
  const apart = [];
  for (const [name, row] of before ?? []) {
    const other = after?.get(name);
    if (row.ratios === undefined || other?.ratios === undefined) continue;
    if (row.noisy || other.noisy) {
      noisy++;
      continue;
    }
    compared++;
    const [a, b] = [median(row.ratios), median(other.ratios)];
    if (Math.abs(b / a - 1) > TOLERANCE) apart.push([name, shown(a), shown(b)]);
  }
  if (apart.length > 0) console.log(`${table(["ratio", "first", "second"], apart)}\n`);
  console.log(
    `${compared} ratios compared, ${apart.length} apart by more than ${TOLERANCE * 100} %; ${noisy} noisy ones left aside`,
  );
  return apart.length;
}

/** @param {string} file @returns {Promise<Map<string, import("./row.mjs").Row>>} */
async function readRows(file) {
  /** @type {{ results: { rows: import("./row.mjs").Row[] }[] }} */
  const { results } = JSON.parse(await readFile(file, "utf8"));
  const rows = results.flatMap(({ rows: some }) => some);
  return new Map(
    rows.map((row) => [`${row.what}: ${row.metric.name}, against ${row.baseline?.name}`, row]),
  );
}
