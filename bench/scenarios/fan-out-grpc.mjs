/* Fan-out to Subscribe over gRPC. */
import { measureFanOut } from "../lib/fan-out.mjs";
import { ratioAtLeast } from "../lib/row.mjs";

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  const { start, startOurs } = context;
  const [load, ours, stock] = await Promise.all([
    start("load"),
    startOurs({ heartbeatIntervalMs: 3_600_000 }),
    start("stock-connect"),
  ]);
  await measureFanOut(context, {
    what: "1,000 gRPC subscriptions, 256 bytes",
    load,
    crowds: [
      { name: "ours", kind: "grpc", server: ours },
      { name: "stock generators", kind: "grpc", server: stock },
    ],
    targets: { "stock generators": { high: ratioAtLeast(3) } },
  });
}
