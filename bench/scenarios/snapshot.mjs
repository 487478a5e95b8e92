/* A large snapshot over both doors, while writes to the same group go on. */
import { join } from "node:path";
import { alternate } from "../lib/alternate.mjs";
import { withCpu } from "../lib/parts.mjs";
import { CPU_MICROS, plainRow, rowOf, valueAtMost } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";

/** @typedef {import("../lib/parts.mjs").Part} Part */

const ITEMS = 100_000;
const RATE = 1000;
/** The items that are written meanwhile, spread over the group. */
const WRITTEN = { groups: 1, itemsPerGroup: 1000 };
/** Concurrent readers without writes, as after a disconnect. */
const AT_ONCE = 20;
const MEGABYTE = 1e6;
/** @type {import("../lib/row.mjs").Metric} */
const SECONDS = { name: "time", unit: "s", of: ({ seconds }) => seconds };

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  const folder = await scratchFolder();
  await measure(context, "in memory", { kind: "in_memory" });
  if (!context.quick)
    await measure(context, "durable", { kind: "file_based", folder: join(folder, "data") });
  removeFolder(folder);
}

/** @param {import("../run.mjs").Context} context @param {string} name @param {object} store */
async function measure({ quick, pace, start, startOurs, report }, name, store) {
  const [load, server] = await Promise.all([start("load"), startOurs({ store })]);
  const { url } = server;
  await load.call("fill", { url, groups: 1, itemsPerGroup: ITEMS });
  const write = { url, streams: 1, inFlight: 1000, valueBytes: 62, where: WRITTEN, rate: RATE };
  // Memory is compared with that of a warm server.
  await load.call("write", { ...write, seconds: quick ? 0.5 : 2 });
  /** Peak of the additional resident memory, round by round. @type {number[]} */
  const grown = [];
  const rounds = await alternate(
    /** @type {const} */ (["grpc", "websocket"]).map((door) => ({
      name: door,
      async round() {
        const before = await server.residentBytes();
        await server.call("forgetPeak");
        const [snapshot] = await Promise.all([
          withCpu(server, async () => load.call("snapshot", { url, door, items: ITEMS })),
          load.call("write", { ...write, seconds: quick ? 0.5 : 2 }),
        ]);
        grown.push(((await server.call("peakBytes")) - before) / MEGABYTE);
        return snapshot;
      },
    })),
    pace,
  );
  const crowds = await alternate(
    [AT_ONCE, 1].map((readers) => ({
      name: String(readers),
      round: async () => withCpu(server, async () => snapshots(load, url, readers)),
    })),
    pace,
  );
  const what = `snapshot of ${ITEMS.toLocaleString("en-US")} items, ${name}, ${RATE} writes/s`;
  const seconds = valueAtMost(1);
  report([
    ...Array.from(rounds, ([door, ours]) =>
      rowOf({ what: `${what}, ${door}`, metric: SECONDS, ours, target: seconds }),
    ),
    plainRow({
      what: `${what}, a snapshot each`,
      metric: { name: "resident memory, at most more", unit: "MB" },
      // The first two rounds are the warm-up.
      ours: { values: grown.slice(2) },
      target: valueAtMost(50),
    }),
    rowOf({
      what: `snapshot of ${ITEMS.toLocaleString("en-US")} items, ${name}, ${AT_ONCE} at once, grpc`,
      metric: CPU_MICROS,
      ours: crowds.get(String(AT_ONCE)) ?? [],
      against: { name: "ours, one alone", rounds: crowds.get("1") ?? [] },
    }),
  ]);
  await Promise.all([load.stop(), server.stop()]);
}

/**
 * Takes several snapshots at once.
 *
 * @param {Part} load
 * @param {string} url
 * @param {number} readers
 * @returns {Promise<import("../lib/row.mjs").Round>} How long the last one took.
 */
async function snapshots(load, url, readers) {
  const take = async () => load.call("snapshot", { url, door: "grpc", items: ITEMS });
  const taken = await Promise.all(Array.from({ length: readers }, take));
  const ms = Math.max(...taken.map(({ p50Ms }) => p50Ms));
  return { ops: readers, seconds: ms / 1000, p50Ms: ms, p99Ms: ms };
}
