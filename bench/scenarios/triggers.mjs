/* What registered triggers cost a write: many that do not match, and one that does. */
import { join } from "node:path";
import { alternate } from "../lib/alternate.mjs";
import { P50, perSecond, rowOf } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";
import { caller, prepare } from "./unary.mjs";

/** Number of triggers that do not match. */
const FEW = 100;
const MANY = 10_000;

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
    const [many, few, bare] = await Promise.all([
      startOurs({ store: storeOf("many"), triggers: MANY }),
      startOurs({ store: storeOf("few"), triggers: FEW }),
      startOurs({ store: storeOf("bare") }),
    ]);
    for (const server of [many, few, bare]) await prepare(load, server, "grpc");
    for (const inFlight of [1, 16]) {
      const how = /** @type {const} */ ({ protocol: "grpc", method: "Set" });
      const rounds = await alternate(
        [
          caller("few", load, few, { ...how, inFlight }),
          caller("without", load, bare, { ...how, inFlight }),
          caller("many", load, many, { ...how, inFlight }),
        ],
        pace,
      );
      /** @param {number} triggers */
      const what = (triggers) =>
        `Set with ${(triggers + 1).toLocaleString("en-US")} triggers, ${inFlight} in flight, ${name}`;
      const ours = rounds.get("few") ?? [];
      const metric = inFlight === 1 ? P50 : perSecond("calls");
      const bares = { name: "ours without", rounds: rounds.get("without") ?? [] };
      rows.push(rowOf({ what: what(FEW), metric, ours, against: bares }));
      const fews = { name: `ours with ${FEW + 1}`, rounds: ours };
      rows.push(rowOf({ what: what(MANY), metric, ours: rounds.get("many") ?? [], against: fews }));
    }
    await Promise.all([many, few, bare].map(async (server) => server.stop()));
  }
  report(rows);
  removeFolder(folder);
}
