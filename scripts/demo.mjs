/**
 * npm run demo [-- --once | --seconds N] [--port N] [--data FOLDER]: publishes this machine's own
 * live figures, twice a second, to stream `dashboard-metrics`, and prints how to watch them.
 *
 * When no service responds at the address, it starts one, like npm start, and ends it afterwards. A
 * running service is left alone. All output goes to stderr.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createMachineMeter, namesOfAbsent } from "./demo/meter.mjs";
import { parseOptions } from "./demo/options.mjs";
import { createPublisher } from "./demo/publisher.mjs";
import { useService } from "./demo/service.mjs";
import { watchHint } from "./demo/watch-hint.mjs";
import { Failure, command, say } from "./lib/project.mjs";

const INTERVAL_MS = 500;

await command(async () => {
  const options = parseOptions(process.argv.slice(2));
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => stopped.abort(new Failure(`Stopped by ${signal}.`)));
  }
  const service = await useService(options, stopped.signal).catch(endedQuietly);
  if (service === undefined) return;
  try {
    await publish(service.url, options, AbortSignal.any([stopped.signal, service.gone]));
    if (service.gone.aborted && !stopped.signal.aborted) throw service.gone.reason;
  } finally {
    await service.release();
  }

  /** @param {unknown} error What ended the wait for the service. */
  function endedQuietly(error) {
    if (!stopped.signal.aborted) throw error;
    return undefined;
  }
});

/**
 * Publishes on every tick, until the last one or a signal to stop.
 *
 * @param {string} url
 * @param {import("./demo/options.mjs").DemoOptions} options
 * @param {AbortSignal} stop
 */
async function publish(url, options, stop) {
  const meter = createMachineMeter();
  const publisher = await createPublisher(url, stop);
  let published = 0;
  let failing = false;
  for (let tick = 1; tick <= options.ticks && !stop.aborted; tick++) {
    // Rates need some time between two measurements, so the wait comes first.
    await sleep(INTERVAL_MS, undefined, { signal: stop }).catch(() => {});
    if (stop.aborted) break;
    const figures = meter();
    try {
      await publisher(figures, new Date());
      if (published === 0) introduce(url, figures);
      else if (failing) say("The service answers again.");
      published += 1;
      failing = false;
    } catch (error) {
      if (stop.aborted) break;
      // A demo survives a restart of the service; a first failure is an error.
      if (published === 0 || tick === options.ticks) throw error;
      if (!failing) say(`${error instanceof Error ? error.message : String(error)} Trying again.`);
      failing = true;
    }
  }
  say(`Published ${published} ${published === 1 ? "set" : "sets"} of figures.`);
}

/**
 * @param {string} url
 * @param {readonly import("./demo/meter.mjs").Figure[]} figures
 */
function introduce(url, figures) {
  const ids = figures.map(({ id }) => id);
  say(`Publishing ${figures.length} figures of this machine twice a second: ${ids.join(", ")}.`);
  for (const absent of namesOfAbsent(figures)) say(`Absent: ${absent}.`);
  say(watchHint(url));
}
