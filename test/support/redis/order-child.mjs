// A member of a fleet, from the build, in a process of its own. Prints a JSON line
// - {"kind": "joined"} at first,
// - {"kind": "order", "order"} for each order that it carries out, with the result "child ORDER",
// - {"kind": "pausing"} before it stops itself with SIGSTOP, on SIGUSR2,
// - {"kind": "resumed", "mayDeliver"} first after that, when a lease has ended,
// - {"kind": "lapsed", "mayDeliver"} in each call of its lapse listener,
// - {"kind": "delivers"} when it may deliver again after that.
// argv[2]: { url: of the Redis; keyPrefix; leaseMs }.
import { createRedisCoordinator } from "../../../dist/src/coordinators/redis/redis-coordinator.js";
import { RedisServers } from "../../../dist/src/redis/redis-servers.js";
import { parseRedisUrl } from "../../../dist/src/redis/redis-url.js";
import { endWithParent } from "../long/end-with-parent.mjs";

endWithParent();
const { url, keyPrefix, leaseMs } = JSON.parse(process.argv[2] ?? "{}");

/** @param {object} line */
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const servers = new RedisServers({ target: parseRedisUrl(url) });
servers.start();
const { orders } = await createRedisCoordinator({
  servers,
  keyPrefix,
  registryTimeoutMs: leaseMs,
});
orders.serve(async (order) => {
  print({ kind: "order", order });
  return `child ${order}`;
});
orders.onLapse(() => print({ kind: "lapsed", mayDeliver: orders.mayDeliver() }));

// Stops within one turn: the check is the first thing that this process does when it resumes.
process.on("SIGUSR2", () => {
  print({ kind: "pausing" });
  const stoppedMs = performance.now();
  process.kill(process.pid, "SIGSTOP");
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  // The signal may take effect a moment later.
  while (performance.now() - stoppedMs < leaseMs) Atomics.wait(sleeper, 0, 0, 1);
  print({ kind: "resumed", mayDeliver: orders.mayDeliver() });
  const timer = setInterval(() => {
    if (!orders.mayDeliver()) return;
    clearInterval(timer);
    print({ kind: "delivers" });
  }, 5);
});
print({ kind: "joined" });
