/* What it costs to keep connections present that do nothing, without their sockets. */
import { PROJECT } from "../../scripts/lib/project.mjs";
import { ensureRedis } from "../../scripts/lib/redis.mjs";
import { plainRow, valueAtMost } from "../lib/row.mjs";
import { removeFolder, scratchFolder } from "../lib/scratch.mjs";

/** @typedef {import("../lib/parts.mjs").Part} Part */

const FLEET = 3;
const GROUPS = 1000;
/** Until the history and the garbage of the announcements have been collected, in milliseconds. */
const SETTLE_MS = 80_000;
const CPU = { name: "CPU", unit: "% of a core" };

/** @type {import("../run.mjs").Scenario} */
export async function run({ quick, start, report, note }) {
  const count = quick ? 10_000 : 100_000;
  const seconds = quick ? 30 : 126;
  const what = `${count.toLocaleString("en-US")} present connections`;
  /** Measures processes while nothing happens. @param {readonly Part[]} services @param {Part} [redis] */
  const measure = async (services, redis) => {
    // The history and the garbage of beginning are not part of the cost of keeping.
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    for (const service of services) await service.residentBytes();
    const cpuNow = async () => ({
      services: await Promise.all(services.map(async (service) => service.cpuSeconds())),
      redis: redis === undefined ? 0 : Number(await redis.call("serverCpuSeconds")),
    });
    for (const service of services) await service.call("watchDelay");
    const startMs = performance.now();
    const before = await cpuNow();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const after = await cpuNow();
    const percent = 100 / ((performance.now() - startMs) / 1000);
    const each = after.services.map((cpu, i) => (cpu - (before.services[i] ?? 0)) * percent);
    const ofRedis = (after.redis - before.redis) * percent;
    const delays = await Promise.all(services.map(async (service) => service.call("delay")));
    for (const { failures } of delays)
      if (failures.length > 0) throw new Error(failures.join("\n"));
    const longestMs = Math.max(...delays.map(({ maxMs }) => maxMs));
    note(`longest delay of an event loop: ${longestMs.toFixed(1)} ms`);
    return { each, ofRedis };
  };

  const alone = await start("millrace-present");
  await alone.call("present", { count, groups: GROUPS });
  const lone = await measure([alone]);
  report([
    plainRow({
      what: `${what}, one process`,
      metric: CPU,
      ours: { values: lone.each },
      target: valueAtMost(5),
    }),
  ]);
  await alone.stop();

  const found = await ensureRedis(PROJECT);
  if ("missing" in found) return note(`Not measured on Redis. ${found.missing}.`);
  const folder = await scratchFolder();
  const redis = await start("redis-server", { program: found.program, folder });
  const store = { kind: "redis", url: redis.url, keyPrefix: "present" };
  const fleet = await Promise.all(
    Array.from({ length: FLEET }, async () => start("millrace-present", { store })),
  );
  const idle = await measure(fleet, redis);
  const share = Math.ceil(count / FLEET);
  await Promise.all(
    fleet.map(async (each) => each.call("present", { count: share, groups: GROUPS })),
  );
  const kept = await measure(fleet, redis);
  const sum = (/** @type {{ each: number[], ofRedis: number }} */ { each, ofRedis }) =>
    each.reduce((total, cpu) => total + cpu, ofRedis);
  const onRedis = `${what}, ${FLEET} processes on Redis`;
  report([
    plainRow({
      what: `${onRedis}, all processes and Redis`,
      metric: CPU,
      ours: { values: [sum(kept)] },
      baseline: { name: "none present", values: [sum(idle)] },
      target: undefined,
    }),
    plainRow({ what: `${onRedis}, a process`, metric: CPU, ours: { values: kept.each } }),
    plainRow({ what: `${onRedis}, Redis`, metric: CPU, ours: { values: [kept.ofRedis] } }),
    plainRow({
      what: `${onRedis}, more than without them`,
      metric: CPU,
      ours: { values: [sum(kept) - sum(idle)] },
      target: valueAtMost(5),
    }),
  ]);
  // Stopped before the Redis server that they use.
  await Promise.all(fleet.map(async (part) => part.stop()));
  await redis.stop();
  removeFolder(folder);
}
