/* A large snapshot over both doors, while writes to the same group go on. */
import { join } from "node:path";
import { alternate } from "../lib/alternate.mjs";
import { withCpu } from "../lib/parts.mjs";
import { plainRow, rowOf, valueAtMost } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";

const ITEMS = 100_000;
const RATE = 1000;
/** The items that are written meanwhile, all over the group. */
const WRITTEN = { groups: 1, itemsPerGroup: 1000 };
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
  // Memory is compared with that of a server that is used already.
  await load.call("write", { ...write, seconds: quick ? 0.5 : 2 });
  /** How much more was resident, at most, round by round. @type {number[]} */
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
  const what = `snapshot of ${ITEMS.toLocaleString("en-US")} items, ${name}, ${RATE} writes/s`;
  const seconds = valueAtMost(1);
  report([
    ...Array.from(rounds, ([door, ours]) =>
      rowOf({ what: `${what}, ${door}`, metric: SECONDS, ours, target: seconds }),
    ),
    plainRow({
      what: `${what}, a snapshot each`,
      metric: { name: "resident memory, at most more", unit: "MB" },
      // The first two are of the warm-up.
      ours: { values: grown.slice(2) },
      target: valueAtMost(50),
    }),
  ]);
  await Promise.all([load.stop(), server.stop()]);
}
