/* What registered triggers cost a write: 100 that do not match, and one that does. */
import { join } from "node:path";
import { alternate } from "../lib/alternate.mjs";
import { P50, perSecond, rowOf } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";
import { caller, prepare } from "./unary.mjs";

const TRIGGERS = 100;

/** @type {import("../run.mjs").Scenario} */
export async function run({ pace, start, startOurs, report }) {
  const folder = await scratchFolder();
  const stores = {
    "in memory": () => ({ kind: "in_memory" }),
    durable: (/** @type {string} */ name) => ({ kind: "file_based", folder: join(folder, name) }),
  };
  const load = await start("load");
  const rows = [];
  for (const [name, storeOf] of Object.entries(stores)) {
    const [busy, bare] = await Promise.all([
      startOurs({ store: storeOf("busy"), triggers: TRIGGERS }),
      startOurs({ store: storeOf("bare") }),
    ]);
    for (const server of [busy, bare]) await prepare(load, server, "grpc");
    for (const inFlight of [1, 16]) {
      const how = /** @type {const} */ ({ protocol: "grpc", method: "Set" });
      const rounds = await alternate(
        [
          caller("with", load, busy, { ...how, inFlight }),
          caller("without", load, bare, { ...how, inFlight }),
        ],
        pace,
      );
      const what = `Set with ${TRIGGERS + 1} triggers, ${inFlight} in flight, ${name}`;
      const ours = rounds.get("with") ?? [];
      const against = { name: "ours without", rounds: rounds.get("without") ?? [] };
      const metric = inFlight === 1 ? P50 : perSecond("calls");
      rows.push(rowOf({ what, metric, ours, against }));
    }
    await Promise.all([busy, bare].map(async (server) => server.stop()));
  }
  report(rows);
  removeFolder(folder);
}
