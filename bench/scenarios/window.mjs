/* Whether opening the end of a large group costs what opening a small group costs. */
import { alternate } from "../lib/alternate.mjs";
import { onEachStore } from "../lib/each-store.mjs";
import { withCpu } from "../lib/parts.mjs";
import { CPU_MICROS, P50, ratioAtMost, rowOf } from "../lib/row.mjs";

/** @typedef {import("../lib/parts.mjs").Part} Part */

const ITEMS = 100_000;
const WINDOW = 50;

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  await onEachStore(context, measure);
}

/**
 * @param {import("../run.mjs").Context} context
 * @param {string} name
 * @param {(name: string) => object} storeOf
 */
async function measure({ pace, start, startOurs, report }, name, storeOf) {
  const open = async (/** @type {string} */ size) => startOurs({ store: storeOf(size) });
  const [load, large, small] = await Promise.all([start("load"), open("large"), open("small")]);
  await load.call("fill", { url: large.url, groups: 1, itemsPerGroup: ITEMS });
  await load.call("fill", { url: small.url, groups: 1, itemsPerGroup: WINDOW });
  // The garbage of filling is not part of the cost of a subscription.
  for (const server of [large, small]) await server.residentBytes();
  const contender = (/** @type {string} */ label, /** @type {Part} */ server) => ({
    name: label,
    round: async (/** @type {number} */ seconds) =>
      withCpu(server, async () => load.call("opens", { url: server.url, window: WINDOW, seconds })),
  });
  const rounds = await alternate([contender("large", large), contender("small", small)], pace);
  const what = `window of ${WINDOW} of ${ITEMS.toLocaleString("en-US")} items, ${name}, grpc`;
  const ours = rounds.get("large") ?? [];
  const against = { name: `ours, ${WINDOW} of ${WINDOW}`, rounds: rounds.get("small") ?? [] };
  const target = ratioAtMost(1.3);
  report([
    rowOf({ what, metric: P50, ours, against, target }),
    // That of the set before it included.
    rowOf({ what, metric: CPU_MICROS, ours, against, target }),
  ]);
  await Promise.all([load, large, small].map(async (part) => part.stop()));
}
