/* Runs scenarios one after the other, and says what they measured. */
import { writeFile } from "node:fs/promises";
import { machine, machineLine } from "./lib/machine.mjs";
import { startPart } from "./lib/parts.mjs";
import { sweepOnSignals, thenSweep } from "./lib/scratch.mjs";
import { rowTable } from "./lib/table.mjs";

/** Scenarios, in the order in which they run. Each is a file of bench/scenarios. */
export const SCENARIOS = /** @type {const} */ ({
  unary: "Set, Get and Update over gRPC and Connect, in memory and durable",
  write: "Write (a stream of writes) and Batch, in memory and durable",
  "fan-out-websocket": "events to 1,000 WebSockets",
  "fan-out-grpc": "events to 1,000 gRPC subscriptions",
  snapshot: "a snapshot of 100,000 items during 1,000 writes/s",
  window: "the last 50 of 100,000 items",
  idle: "memory of idle subscriptions",
  growth: "a set and a join among 1,000,000 items, and the restart",
  redis: "a server on Redis, and an instance without subscribers",
  triggers: "the cost of registered triggers for a write",
  presence: "the cost of keeping present connections",
});

/** @typedef {import("./lib/parts.mjs").Part} Part */

/**
 * @typedef {object} Options
 * @property {boolean} quick
 * @property {string | undefined} profileFolder Folder for profiles of our server.
 * @property {string | undefined} jsonFile
 *
 * @typedef {object} Context The context of a scenario.
 * @property {boolean} quick
 * @property {import("./lib/alternate.mjs").Pace} pace
 * @property {(name: string, options?: unknown) => Promise<Part>} start Starts a part, which is
 *   stopped at the end of the scenario at the latest.
 * @property {(options?: unknown) => Promise<Part>} startOurs Starts a server of ours.
 * @property {(rows: readonly import("./lib/row.mjs").Row[]) => void} report Prints rows.
 * @property {(text: string) => void} note Prints a line.
 *
 * @typedef {(context: Context) => Promise<void>} Scenario
 */

/**
 * The length of measurements. @type {Readonly<Record<"quick" | "full",
 * import("./lib/alternate.mjs").Pace>>}
 */
const PACES = {
  quick: { pairs: 3, seconds: 0.25, warmUpSeconds: 0.4 },
  full: { pairs: 5, seconds: 1, warmUpSeconds: 2 },
};

/** Scenarios that a quick run skips unless they are named. @type {readonly string[]} */
export const NOT_QUICK = ["growth", "triggers", "presence"];

/**
 * Runs scenarios.
 *
 * @param {readonly string[]} names
 * @param {Options} options
 */
export async function runScenarios(names, options) {
  sweepOnSignals();
  const where = machine();
  console.log(machineLine(where));
  /** @type {{ scenario: string, rows: import("./lib/row.mjs").Row[], notes: string[] }[]} */
  const results = [];
  await thenSweep(async () => {
    for (const name of names) {
      const startMs = performance.now();
      console.log(`\n## ${name}\n`);
      results.push(await runScenario(name, options));
      console.log(`${((performance.now() - startMs) / 1000).toFixed(1)} s`);
      // After each scenario, so that an interrupted run loses no results.
      if (options.jsonFile !== undefined) {
        const json = { machine: where, quick: options.quick, results };
        await writeFile(options.jsonFile, `${JSON.stringify(json, null, 2)}\n`);
      }
    }
  });
}

/** @param {string} name @param {Options} options */
async function runScenario(name, { quick, profileFolder }) {
  const rows = /** @type {import("./lib/row.mjs").Row[]} */ ([]);
  const notes = /** @type {string[]} */ ([]);
  const parts = /** @type {Part[]} */ ([]);
  /** @type {Context["start"]} */
  const start = async (part, options) => remember(await startPart(part, options));
  /** @param {Part} part */
  const remember = (part) => {
    parts.push(part);
    return part;
  };
  let ours = 0;
  /** @type {{ run: Scenario }} */
  const scenario = await import(`./scenarios/${name}.mjs`);
  try {
    await scenario.run({
      quick,
      pace: PACES[quick ? "quick" : "full"],
      start,
      async startOurs(options) {
        const profile =
          profileFolder === undefined
            ? []
            : [
                "--cpu-prof",
                `--cpu-prof-dir=${profileFolder}`,
                `--cpu-prof-name=${name}-${++ours}.cpuprofile`,
              ];
        return remember(await startPart("millrace", options, profile));
      },
      report(more) {
        if (more.length === 0) return;
        rows.push(...more);
        console.log(`${rowTable(more)}\n`);
      },
      note(text) {
        notes.push(text);
        console.log(text);
      },
    });
  } catch (error) {
    await Promise.allSettled(parts.map(async (part) => part.stop()));
    throw error;
  }
  await Promise.all(parts.map(async (part) => part.stop()));
  return { scenario: name, rows, notes };
}
