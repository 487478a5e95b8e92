/* The cost of an idle subscription. */
import { plainRow, valueAtMost } from "../lib/row.mjs";

/** Time for a server to detect closed sockets, in milliseconds. */
const GONE_MS = 200;
/** What a quick run compares. */
const QUICK = ["ours, 100 groups", "ws"];
const METRIC = { name: "resident memory per socket", unit: "bytes" };

/** @type {import("../run.mjs").Scenario} */
export async function run({ quick, pace, start, startOurs, report }) {
  const count = quick ? 4000 : 10_000;
  /** @type {(readonly [name: string, kind: string, groups: number])[]} */
  const crowds = [
    ["ours, 100 groups", "bridge", 100],
    ["ours, a group each", "bridge", count],
    ["ws", "ws", 1],
    ["Socket.IO", "socket.io", 1],
  ];
  /** @type {Map<string, number[]>} */
  const costs = new Map();
  const few = quick ? crowds.filter(([name]) => QUICK.includes(name)) : crowds;
  for (let pair = 0; pair < (quick ? 1 : pace.pairs); pair++) {
    for (const [name, kind, groups] of pair % 2 === 0 ? few : few.toReversed()) {
      const part = PARTS[kind] ?? "";
      const [load, server] = await Promise.all([
        start("load"),
        kind === "bridge" ? startOurs() : start(part),
      ]);
      const { url } = server;
      // The first sockets allocate what all of them share.
      await load.call("park", { url, kind, count: 100, groups });
      await load.call("unpark");
      await new Promise((resolve) => setTimeout(resolve, GONE_MS));
      const before = await server.residentBytes();
      await load.call("park", { url, kind, count, groups });
      const after = await server.residentBytes();
      await load.call("unpark");
      await Promise.all([load.stop(), server.stop()]);
      costs.set(name, [...(costs.get(name) ?? []), (after - before) / count]);
    }
  }
  const of = (/** @type {string} */ name) => ({ name, values: costs.get(name) ?? [] });
  report(
    few.flatMap(([name, kind]) => {
      if (kind !== "bridge") return [];
      const what = `${count.toLocaleString("en-US")} idle WebSockets, ${name}`;
      const ours = of(name);
      return [
        plainRow({ what, metric: METRIC, ours, target: valueAtMost(12_000) }),
        ...["ws", "Socket.IO"]
          .filter((other) => costs.has(other))
          .map((other) => plainRow({ what, metric: METRIC, ours, baseline: of(other) })),
      ];
    }),
  );
}

const PARTS = /** @type {Readonly<Record<string, string>>} */ ({
  ws: "ws-broadcast",
  "socket.io": "socket-io",
});
