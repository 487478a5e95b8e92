/* A server on Redis: what that costs it, how much it writes, and what it does while it has nothing to do. */
import { PROJECT } from "../../scripts/lib/project.mjs";
import { ensureRedis } from "../../scripts/lib/redis.mjs";
import { alternate } from "../lib/alternate.mjs";
import { withCpu } from "../lib/parts.mjs";
import {
  CPU_MICROS,
  perSecond,
  plainRow,
  ratioAtLeast,
  ratioAtMost,
  rowOf,
  valueAtMost,
} from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";
import { COLD, caller, prepare } from "./unary.mjs";
import { VALUE_BYTES, WHERE, putter, writer } from "./write.mjs";

/** @typedef {import("../lib/parts.mjs").Part} Part */

const SETS = 64;
const WRITES = 512;
const IDLE = { groups: 10_000, rate: 2000 };

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  const { start, startOurs, note } = context;
  const found = await ensureRedis(PROJECT);
  if ("missing" in found) return note(`Not measured. ${found.missing}.`);
  note(`${found.version}\n`);
  const folder = await scratchFolder();
  const redis = await start("redis-server", { program: found.program, folder });
  const { url } = redis;
  const store = { kind: "redis", url, keyPrefix: "ours" };
  const bare = { url, where: WHERE, valueBytes: VALUE_BYTES };
  const [load, memory, ours, client] = await Promise.all([
    start("load"),
    startOurs(),
    startOurs({ store }),
    start("bare-redis", bare),
  ]);
  await cost(context, load, memory, ours);
  await throughput(context, load, ours, client);
  await Promise.all([memory, client].map(async (part) => part.stop()));
  const other = await startOurs({ store });
  await idleness(context, load, ours, other);
  // Stopped before the Redis server that they use.
  await Promise.all([ours, other].map(async (part) => part.stop()));
  await redis.stop();
  removeFolder(folder);
}

/**
 * CPU time of a Set.
 *
 * @param {import("../run.mjs").Context} context
 * @param {Part} load
 * @param {Part} memory
 * @param {Part} ours
 */
async function cost({ pace, report }, load, memory, ours) {
  for (const server of [memory, ours]) await prepare(load, server, "grpc");
  const how = /** @type {const} */ ({ protocol: "grpc", method: "Set", inFlight: SETS });
  const rounds = await alternate(
    [caller("redis", load, ours, how), caller("memory", load, memory, how)],
    { ...pace, warmUpSeconds: pace.warmUpSeconds * COLD },
  );
  const onRedis = { what: `gRPC Set on Redis, ${SETS} in flight`, ours: rounds.get("redis") ?? [] };
  const against = { name: "ours in memory", rounds: rounds.get("memory") ?? [] };
  report([
    rowOf({ ...onRedis, metric: CPU_MICROS, against, target: ratioAtMost(1.5) }),
    rowOf({ ...onRedis, metric: perSecond("calls"), against }),
  ]);
}

/**
 * Writes of one client.
 *
 * @param {import("../run.mjs").Context} context
 * @param {Part} load
 * @param {Part} ours
 * @param {Part} client
 */
async function throughput({ pace, report }, load, ours, client) {
  const rounds = await alternate(
    [
      writer("ours", load, ours, 1, WRITES),
      putter("ioredis, a script for each", client, WRITES),
      putter("ioredis, many in a script", client, WRITES, "putTogether"),
    ],
    pace,
  );
  const of = (/** @type {string} */ name) => ({ name, rounds: rounds.get(name) ?? [] });
  const row = {
    what: `Write on Redis, ${VALUE_BYTES} bytes, ${WRITES} in flight`,
    metric: perSecond("writes"),
    ours: of("ours").rounds,
  };
  report([
    rowOf({ ...row, against: of("ioredis, a script for each"), target: ratioAtLeast(0.7) }),
    rowOf({ ...row, against: of("ioredis, many in a script") }),
  ]);
}

/**
 * CPU time of an instance without subscribers, while another one writes.
 *
 * @param {import("../run.mjs").Context} context
 * @param {Part} load
 * @param {Part} writing
 * @param {Part} idle
 */
async function idleness({ quick, report }, load, writing, idle) {
  const where = { groups: IDLE.groups, itemsPerGroup: 1 };
  const seconds = quick ? 3 : 20;
  const work = { url: writing.url, streams: 1, inFlight: WRITES, valueBytes: VALUE_BYTES, where };
  const { cpuSeconds, seconds: passed } = await withCpu(idle, async () =>
    load.call("write", { ...work, rate: IDLE.rate, seconds }),
  );
  report([
    plainRow({
      what: `listens to nothing, ${IDLE.rate} writes/s to ${IDLE.groups.toLocaleString("en-US")} groups by another one`,
      metric: { name: "CPU", unit: "% of a core" },
      ours: { values: [(cpuSeconds / passed) * 100] },
      target: valueAtMost(5),
    }),
  ]);
}
