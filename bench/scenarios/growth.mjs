/* Whether a store that has a lot is slower, and how long it takes to start again. */
import { join } from "node:path";
import { alternate } from "../lib/alternate.mjs";
import { withCpu } from "../lib/parts.mjs";
import { CPU_MICROS, P50, plainRow, ratioAtMost, rowOf } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";

const ITEMS = 10;
/** Groups in use: as many in both stores, spread over all groups of the large one. */
const TOUCHED = 100;
const IN_FLIGHT = 16;

/** @typedef {import("../lib/parts.mjs").Part} Part */

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  const folder = await scratchFolder();
  await measure(context, "in memory", () => ({ kind: "in_memory" }));
  if (!context.quick)
    await measure(context, "durable", (name) => ({
      kind: "file_based",
      folder: join(folder, name),
    }));
  removeFolder(folder);
}

/**
 * @param {import("../run.mjs").Context} context
 *
 * @param {string} name
 * @param {(name: string) => object} storeOf
 */
async function measure({ quick, pace, start, startOurs, report }, name, storeOf) {
  // In a quick run, a tenth of it.
  const groups = quick ? 10_000 : 100_000;
  const open = async (/** @type {string} */ size) => startOurs({ store: storeOf(size) });
  const [load, full, empty] = await Promise.all([start("load"), open("full"), open("empty")]);
  await load.call("fill", { url: full.url, groups, itemsPerGroup: ITEMS });
  await load.call("fill", { url: empty.url, groups: TOUCHED, itemsPerGroup: ITEMS });
  // The garbage of filling is not part of the cost of a call.
  for (const server of [full, empty]) await server.residentBytes();
  const where = { groups: TOUCHED, itemsPerGroup: ITEMS };
  const ofFull = { where: { ...where, stride: groups / TOUCHED }, url: full.url };
  const ofEmpty = { where, url: empty.url };
  const size = `${(groups * ITEMS).toLocaleString("en-US")} items in ${groups.toLocaleString("en-US")} groups`;
  const rows = [];
  for (const call of /** @type {const} */ (["unary", "joins"])) {
    const set = call === "unary" && { protocol: "grpc", method: "Set" };
    /** @param {string} label @param {Part} server @param {object} target */
    const contender = (label, server, target) => ({
      name: label,
      round: async (/** @type {number} */ seconds) =>
        withCpu(server, async () =>
          load.call(call, { ...target, ...set, inFlight: IN_FLIGHT, seconds }),
        ),
    });
    const rounds = await alternate(
      [contender("full", full, ofFull), contender("empty", empty, ofEmpty)],
      pace,
    );
    const what = `${call === "unary" ? "Set" : "join of 10 items"}, ${name}, ${size}`;
    const ours = rounds.get("full") ?? [];
    const against = { name: "ours, empty", rounds: rounds.get("empty") ?? [] };
    const target = ratioAtMost(1.2);
    rows.push(rowOf({ what, metric: CPU_MICROS, ours, against, target }));
    rows.push(rowOf({ what, metric: P50, ours, against }));
  }
  if (name === "durable") {
    const restarts = async (/** @type {string} */ which, /** @type {Part} */ running) => {
      const values = [];
      let server = running;
      for (let i = 0; i < (quick ? 1 : 3); i++) {
        await server.stop();
        const startMs = performance.now();
        server = await open(which);
        values.push(performance.now() - startMs);
      }
      await server.stop();
      return values;
    };
    const ours = { values: await restarts("full", full) };
    const baseline = { name: "ours, empty", values: await restarts("empty", empty) };
    const metric = { name: "start of the process until it answers", unit: "ms" };
    rows.push(plainRow({ what: `restart, ${size}`, metric, ours, baseline }));
  }
  report(rows);
  await Promise.all([full, empty, load].map(async (part) => part.stop()));
}
