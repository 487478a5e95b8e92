/* Fan-out to WebSockets. */
import { measureFanOut } from "../lib/fan-out.mjs";
import { ratioAtLeast, valueAtLeast, valueAtMost } from "../lib/row.mjs";

/** @type {import("../run.mjs").Scenario} */
export async function run(context) {
  const { quick, start, startOurs } = context;
  const [load, ours, ws, socketIo] = await Promise.all([
    start("load"),
    startOurs({ heartbeatIntervalMs: 3_600_000 }),
    start("ws-broadcast"),
    quick ? undefined : start("socket-io"),
  ]);
  /** @type {import("../lib/fan-out.mjs").Crowd[]} */
  const others = socketIo ? [{ name: "Socket.IO", kind: "socket.io", server: socketIo }] : [];
  await measureFanOut(context, {
    what: "1,000 WebSockets, 256 bytes",
    load,
    crowds: [
      { name: "ours", kind: "bridge", server: ours },
      { name: "ws loop", kind: "ws", server: ws },
      ...others,
    ],
    targets: { "ws loop": { low: ratioAtLeast(0.9), high: ratioAtLeast(4) } },
    // Slightly above the target, as the last deliveries come after the last event.
    steady: { rate: 160, deliveries: valueAtLeast(150_000), p99: valueAtMost(50) },
  });
}
