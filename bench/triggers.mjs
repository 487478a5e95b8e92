/**
 * npm run bench -- triggers [--quick]: what registered triggers cost a write.
 *
 * Two servers, each in a process of its own: one without triggers, one with 100 that do not match and
 * one that does. Pairs of rounds alternate between them, so that both see the same machine; a round is
 * a number of gRPC Set calls with some in flight. Prints the median latency of each and the ratio.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { StreamService } from "../dist/src/v1.js";
import { median, spread, table } from "./report.mjs";

/** Store, and how many calls are in flight: one, for the latency alone, and as many as the server can take. */
const SETTINGS = /** @type {const} */ ([
  ["in_memory", 1],
  ["in_memory", 16],
  ["file_based", 1],
  ["file_based", 16],
]);
const SERVER = fileURLToPath(new URL("triggers-server.mjs", import.meta.url));

/**
 * @typedef {object} Size
 * @property {number} pairs
 * @property {number} calls Calls of a round.
 * @property {number} inFlight
 */

/** @param {{ quick: boolean }} options */
export async function run({ quick }) {
  const rows = [];
  for (const [store, inFlight] of SETTINGS) {
    /** @type {Size} */
    const size = {
      pairs: quick ? 5 : 11,
      calls: (quick ? 300 : 1000) * (1 + inFlight / 8),
      inFlight,
    };
    const { bare, busy } = await measure(store, size);
    const ratios = bare.map((ms, i) => (busy[i] ?? Number.NaN) / ms);
    rows.push([
      store,
      String(inFlight),
      `${median(bare).toFixed(3)} ms`,
      `${median(busy).toFixed(3)} ms`,
      `${median(ratios).toFixed(3)} (${spread(ratios)})`,
    ]);
  }
  console.log(
    table(["store", "in flight", "p50 without", "p50 with 101 triggers", "ratio of a pair"], rows),
  );
}

/**
 * @param {string} store
 * @param {Size} size
 * @returns Medians of the rounds of each server, pair by pair.
 */
async function measure(store, { pairs, calls, inFlight }) {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const bareServer = await startServer(store, join(folder, "bare"), 0);
  const busyServer = await startServer(store, join(folder, "busy"), 100);
  try {
    /** @type {{ bare: number[], busy: number[] }} */
    const p50s = { bare: [], busy: [] };
    const measureBare = async () => p50s.bare.push(await round(bareServer.client, calls, inFlight));
    const measureBusy = async () => p50s.busy.push(await round(busyServer.client, calls, inFlight));
    await round(bareServer.client, calls, inFlight);
    await round(busyServer.client, calls, inFlight);
    for (let pair = 0; pair < pairs; pair++) {
      // Who goes first alternates, too.
      const order = pair % 2 === 0 ? [measureBare, measureBusy] : [measureBusy, measureBare];
      for (const measureOne of order) await measureOne();
    }
    return p50s;
  } finally {
    await bareServer.stop();
    await busyServer.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param {string} store @param {string} folder @param {number} triggers */
async function startServer(store, folder, triggers) {
  const child = spawn(process.execPath, [SERVER, store, folder, String(triggers)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [url] = await once(createInterface(child.stdout), "line");
  const client = createClient(StreamService, createGrpcTransport({ baseUrl: url }));
  return {
    client,
    async stop() {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/**
 * @param {import("@connectrpc/connect").Client<typeof StreamService>} client
 * @param {number} calls
 * @param {number} inFlight
 * @returns The median latency of a call, in milliseconds.
 */
async function round(client, calls, inFlight) {
  const data = fromJson(ValueSchema, { text: "hello", likes: 1, tags: ["a", "b"] });
  /** @type {number[]} */
  const latencies = [];
  let left = calls;
  const work = async () => {
    while (left-- > 0) {
      const startMs = performance.now();
      const itemId = `i${left % 100}`;
      await client.set({ streamName: "bench", groupId: `g${left % 10}`, itemId, data });
      latencies.push(performance.now() - startMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, work));
  return median(latencies);
}
