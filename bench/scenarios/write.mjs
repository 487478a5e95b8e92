/* Streams of writes, and batches: in memory, and on disk before every acknowledgement. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { alternate } from "../lib/alternate.mjs";
import { withCpu } from "../lib/parts.mjs";
import { perSecond, rowOf, valueAtLeast } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";

/** @typedef {import("../lib/parts.mjs").Part} Part */

/** The items that are written. */
export const WHERE = { groups: 64, itemsPerGroup: 16 };
/** Size of a value as JSON. */
export const VALUE_BYTES = 256;
/** Most requests under way on one stream. */
const IN_FLIGHT = 1000;
const BATCHES = { groups: 64, itemsPerGroup: 100 };
const WRITES = perSecond("writes");

/** @type {import("../run.mjs").Scenario} */
export async function run({ quick, pace, start, startOurs, report }) {
  const folder = await scratchFolder();
  const place = (/** @type {string} */ name) => join(folder, name);
  for (const name of ["lmdb", "log"]) await mkdir(place(name));
  const values = { keys: WHERE.groups * WHERE.itemsPerGroup, valueBytes: VALUE_BYTES };
  const [load, memory, disk, lmdb, log] = await Promise.all([
    start("load"),
    startOurs(),
    startOurs({ store: { kind: "file_based", folder: place("data") } }),
    start("bare-lmdb", { folder: place("lmdb"), ...values }),
    start("bare-log", { folder: place("log"), ...values }),
  ]);
  for (const { url } of [memory, disk]) await load.call("check", { url, protocol: "grpc" });

  for (const streams of quick ? [4] : [1, 4]) {
    const what = `Write, 256 bytes, ${streams} x ${IN_FLIGHT} in flight`;
    const total = streams * IN_FLIGHT;
    const rounds = await alternate(
      [
        writer("in memory", load, memory, streams),
        writer("durable", load, disk, streams),
        putter("lmdb", lmdb, total),
        putter("append + fdatasync", log, total),
      ],
      pace,
    );
    const of = (/** @type {string} */ name) => ({ name, rounds: rounds.get(name) ?? [] });
    const durable = { what: `${what}, durable`, metric: WRITES, ours: of("durable").rounds };
    // The targets apply to the highest throughput.
    const isMost = streams > 1;
    report([
      rowOf({
        what: `${what}, in memory`,
        metric: WRITES,
        ours: of("in memory").rounds,
        ...(isMost && { target: valueAtLeast(100_000) }),
      }),
      rowOf({ ...durable, ...(isMost && { target: valueAtLeast(30_000) }) }),
      rowOf({ ...durable, against: of("lmdb") }),
      rowOf({ ...durable, against: of("append + fdatasync") }),
    ]);
  }

  const batches = await alternate(
    [batcher("durable", load, disk), batcher("in memory", load, memory)],
    pace,
  );
  const inMemory = batches.get("in memory") ?? [];
  const against = { name: "ours in memory", rounds: inMemory };
  const what = "Batch of 100, 256 bytes, 16 in flight";
  const mutations = perSecond("mutations");
  report([
    rowOf({ what: `${what}, in memory`, metric: mutations, ours: inMemory }),
    rowOf({
      what: `${what}, durable`,
      metric: mutations,
      ours: batches.get("durable") ?? [],
      against,
    }),
  ]);
  await Promise.all([disk, lmdb, log].map(async (part) => part.stop()));
  removeFolder(folder);
}

/**
 * Writes, and checks that the groups have as many changes as were acknowledged.
 *
 * @param {string} name
 * @param {Part} load
 * @param {Part} server
 * @param {number} streams
 * @param {number} [inFlight] On each.
 * @returns {import("../lib/alternate.mjs").Contender}
 */
export function writer(name, load, server, streams, inFlight = IN_FLIGHT) {
  const { url } = server;
  const where = WHERE;
  const work = { url, streams, inFlight, where, valueBytes: VALUE_BYTES };
  return {
    name,
    async round(seconds) {
      const before = await load.call("revisions", { url, where });
      const round = await withCpu(server, async () => load.call("write", { ...work, seconds }));
      const changes = (await load.call("revisions", { url, where })) - before;
      if (changes !== round.ops)
        throw new Error(`${name}: ${round.ops} writes were acknowledged, ${changes} took effect`);
      return round;
    },
  };
}

/**
 * A contender: a part that writes by itself.
 *
 * @param {string} name
 * @param {Part} part
 * @param {number} inFlight
 * @param {string} [method]
 */
export function putter(name, part, inFlight, method = "put") {
  return {
    name,
    round: async (/** @type {number} */ seconds) =>
      withCpu(part, async () => part.call(method, { seconds, inFlight })),
  };
}

/** @param {string} name @param {Part} load @param {Part} server */
function batcher(name, load, server) {
  const work = { url: server.url, protocol: "grpc", method: "Batch", inFlight: 16, where: BATCHES };
  return {
    name,
    async round(/** @type {number} */ seconds) {
      const round = await withCpu(server, async () => load.call("unary", { ...work, seconds }));
      return { ...round, ops: round.ops * BATCHES.itemsPerGroup };
    },
  };
}
