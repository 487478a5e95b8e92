/* What lifetimes cost: a set among many items that have one, and the expiry of many. */
import { setTimeout as sleep } from "node:timers/promises";
import { alternate } from "../lib/alternate.mjs";
import { onEachStore } from "../lib/each-store.mjs";
import { withCpu } from "../lib/parts.mjs";
import { CPU_MICROS, P50, plainRow, ratioAtMost, rowOf, valueAtMost } from "../lib/row.mjs";

const GROUPS = 1000;
const HOUR_SECONDS = 3600;
const IN_FLIGHT = 16;
/** Longer than it takes to fill a store with those that expire. */
const SOON_SECONDS = 30;

/** @typedef {import("../lib/parts.mjs").Part} Part */

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  await onEachStore(context, measure);
}

/**
 * @param {import("../run.mjs").Context} context
 * @param {string} name
 * @param {(name: string) => object} storeOf
 */
async function measure({ quick, pace, start, startOurs, report }, name, storeOf) {
  const itemsPerGroup = quick ? 100 : 1000;
  const size = `${(GROUPS * itemsPerGroup).toLocaleString("en-US")} items`;
  const open = async (/** @type {string} */ which) => startOurs({ store: storeOf(which) });
  const [load, mortal, plain] = await Promise.all([start("load"), open("mortal"), open("plain")]);
  const all = { groups: GROUPS, itemsPerGroup };
  await load.call("fill", { ...all, url: mortal.url, ttlSeconds: HOUR_SECONDS });
  await load.call("fill", { ...all, url: plain.url });
  // The garbage of filling is not part of the cost of a call.
  for (const server of [mortal, plain]) await server.residentBytes();
  const set = { protocol: "grpc", method: "Set", inFlight: IN_FLIGHT };
  /** @param {string} label @param {Part} server @param {object} lifetime */
  const contender = (label, server, lifetime) => ({
    name: label,
    round: async (/** @type {number} */ seconds) => {
      const where = { groups: GROUPS, itemsPerGroup: 10, ...lifetime };
      return withCpu(server, async () =>
        load.call("unary", { ...set, where, url: server.url, seconds }),
      );
    },
  });
  const rounds = await alternate(
    [contender("mortal", mortal, { ttlSeconds: HOUR_SECONDS }), contender("plain", plain, {})],
    pace,
  );
  const what = `Set with ttl, ${name}, ${size}`;
  const ours = rounds.get("mortal") ?? [];
  const against = { name: "ours, without ttl", rounds: rounds.get("plain") ?? [] };
  const target = ratioAtMost(1.2);
  report([
    rowOf({ what, metric: CPU_MICROS, ours, against, target }),
    rowOf({ what, metric: P50, ours, against, target }),
  ]);
  await Promise.all([mortal, plain].map(async (part) => part.stop()));

  const sweeping = await open("sweeping");
  const few = { groups: GROUPS / 10, itemsPerGroup };
  const count = few.groups * few.itemsPerGroup;
  await load.call("fill", { ...few, url: sweeping.url, ttlSeconds: SOON_SECONDS });
  await sweeping.residentBytes();
  await sweeping.call("watchLoop");
  // Each item has two changes then: its creation and its expiry.
  while ((await load.call("revisions", { url: sweeping.url, where: few })) < 2 * count)
    await sleep(1000);
  const { p999, max } = await sweeping.call("loopDelayMs");
  const metric = (/** @type {string} */ of) => ({ name: `event loop delay, ${of}`, unit: "ms" });
  const expiry = `expiry of ${count.toLocaleString("en-US")} items, ${name}`;
  report([
    plainRow({
      what: expiry,
      metric: metric("p99.9"),
      ours: { values: [p999] },
      target: valueAtMost(5),
    }),
    plainRow({ what: expiry, metric: metric("max"), ours: { values: [max] } }),
  ]);
  await Promise.all([sweeping, load].map(async (part) => part.stop()));
}
