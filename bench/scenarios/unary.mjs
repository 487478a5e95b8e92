/* Unary calls: Set, Get and Update over every protocol, in memory and durable. */
import { join } from "node:path";
import { alternate } from "../lib/alternate.mjs";
import { withCpu } from "../lib/parts.mjs";
import { P50, perSecond, ratioAtLeast, rowOf } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";
import { withH2load } from "../lib/h2load.mjs";

/** @typedef {import("../lib/parts.mjs").Part} Part */
/** @typedef {keyof typeof import("../load/lanes.mjs").PROTOCOLS} Protocol */
/** @typedef {"Set" | "Get" | "Update"} Method */

const WHERE = { groups: 50, itemsPerGroup: 4 };
const CALLS = perSecond("calls");

/** Factor of the warm-up of unused servers. */
export const COLD = 3;

/**
 * A contender: a server with one kind of call.
 *
 * @param {string} name
 * @param {Part} load
 * @param {Part} server
 * @param {{ protocol: Protocol, method: Method, inFlight: number }} how
 * @returns {import("../lib/alternate.mjs").Contender}
 */
export function caller(name, load, server, { protocol, method, inFlight }) {
  const work = { url: server.url, protocol, method, inFlight, where: WHERE };
  return {
    name,
    round: async (seconds) => withCpu(server, async () => load.call("unary", { ...work, seconds })),
  };
}

/**
 * Puts every item that is asked for there.
 *
 * @param {Part} load
 * @param {Part} server
 * @param {Protocol} protocol
 */
export async function prepare(load, server, protocol) {
  const { url } = server;
  await load.call("check", { url, protocol });
  await load.call("unary", { url, protocol, method: "Set", inFlight: 16, where: WHERE });
}

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  const { start, startOurs } = context;
  const folder = await scratchFolder();
  const [load, memory, disk, stock, stockHttp1, grpcJs, http2] = await Promise.all([
    start("load"),
    startOurs(),
    startOurs({ store: { kind: "file_based", folder: join(folder, "data") } }),
    start("stock-connect"),
    start("stock-connect", { http1: true }),
    start("grpc-js"),
    start("bare-http2"),
  ]);
  for (const server of [memory, disk, stock, grpcJs]) await prepare(load, server, "grpc");
  await prepare(load, stockHttp1, "connect-http1");
  for (const server of [memory, disk]) {
    await load.call("check", { url: server.url, protocol: "connect" });
    await load.call("check", { url: server.url, protocol: "connect-http1" });
  }
  await main(context, load, { memory, disk, stock, grpcJs, http2 });
  const others = { memory, disk, grpc: stock, connect: stock, "connect-http1": stockHttp1 };
  await rest(context, load, others);
  await load.stop();
  await disk.stop();
  removeFolder(folder);
}

/**
 * The combination that the targets apply to.
 *
 * @param {import("../run.mjs").Context} context
 * @param {Part} load
 * @param {Record<"memory" | "disk" | "stock" | "grpcJs" | "http2", Part>} servers
 */
async function main({ quick, pace, report, note }, load, servers) {
  const how = /** @type {const} */ ({ protocol: "grpc", method: "Set", inFlight: 128 });
  const what = "gRPC Set, 128 in flight";
  const { memory, disk, stock, grpcJs, http2 } = servers;
  const rounds = await alternate(
    [
      caller("ours", load, memory, how),
      caller("stock connect-node", load, stock, how),
      caller("grpc-js", load, grpcJs, how),
      caller("bare http2", load, http2, how),
    ],
    { ...pace, warmUpSeconds: pace.warmUpSeconds * COLD },
  );
  /** @param {string} name */
  const of = (name) => ({ name, rounds: rounds.get(name) ?? [] });
  const ours = of("ours").rounds;
  const metric = CALLS;
  report([
    rowOf({ what, metric, ours, against: of("stock connect-node"), target: ratioAtLeast(5) }),
    rowOf({ what, metric, ours, against: of("grpc-js"), target: ratioAtLeast(1) }),
    rowOf({ what, metric, ours, against: of("bare http2"), target: ratioAtLeast(0.5) }),
  ]);
  const stores = await alternate(
    [caller("durable", load, disk, how), caller("in memory", load, memory, how)],
    // The server on disk was unused before.
    { ...pace, warmUpSeconds: pace.warmUpSeconds * COLD },
  );
  const against = { name: "ours in memory", rounds: stores.get("in memory") ?? [] };
  const durable = stores.get("durable") ?? [];
  const target = ratioAtLeast(0.8);
  report([rowOf({ what: `${what}, durable`, metric, ours: durable, against, target })]);
  if (quick) return;
  report(await withH2load({ ours: memory.url, "bare http2": http2.url }, how.inFlight, pace, note));
}

/**
 * Every other combination, against the stock handler.
 *
 * @param {import("../run.mjs").Context} context
 * @param {Part} load
 * @param {Record<"memory" | "disk" | Protocol, Part>} servers
 */
async function rest({ quick, pace, report }, load, servers) {
  const rows = [];
  for (const { protocol, method, inFlight, store } of combinations(quick)) {
    const how = { protocol, method, inFlight };
    const contenders = [
      caller("ours", load, servers[store], how),
      caller("stock connect-node", load, servers[protocol], how),
    ];
    // Short rounds: there are many combinations, and the servers are warm.
    const seconds = quick ? pace.seconds : pace.seconds / 4;
    const rounds = await alternate(contenders, { ...pace, seconds, warmUpSeconds: seconds });
    const against = { name: "stock connect-node", rounds: rounds.get("stock connect-node") ?? [] };
    const what = `${NAMES[protocol]} ${method}, ${inFlight} in flight${store === "disk" ? ", durable" : ""}`;
    const ours = rounds.get("ours") ?? [];
    // One call at a time measures latency.
    const metric = inFlight === 1 ? P50 : CALLS;
    rows.push(rowOf({ what, metric, ours, against }));
  }
  report(rows);
}

const NAMES = {
  grpc: "gRPC",
  connect: "Connect, HTTP/2",
  "connect-http1": "Connect, HTTP/1.1",
};

/** @param {boolean} quick */
function* combinations(quick) {
  /** @type {readonly Method[]} */
  const methods = ["Set", "Get", "Update"];
  for (const protocol of /** @type {readonly Protocol[]} */ (Object.keys(NAMES))) {
    for (const method of methods) {
      for (const inFlight of [1, 16, 128]) {
        for (const store of /** @type {const} */ (["memory", "disk"])) {
          const isMain = protocol === "grpc" && method === "Set" && inFlight === 128;
          const isQuick =
            store === "memory" && method === "Set" && inFlight === (protocol === "grpc" ? 1 : 16);
          if (isMain || (quick && !isQuick)) continue;
          yield { protocol, method, inFlight, store };
        }
      }
    }
  }
}
