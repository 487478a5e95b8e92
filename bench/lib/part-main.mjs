/**
 * Runs one part (see parts.mjs): argv: its name, its options as JSON. It is called over IPC, and
 * ends with its parent.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/**
 * @typedef {object} OpenPart What the `open` of a part returns.
 * @property {unknown} [info] Reported when ready.
 * @property {Record<string, (argument: any) => unknown>} [methods] Its methods.
 * @property {() => unknown} [close] Closes it gracefully.
 * @property {() => unknown} [abort] Ends its own children at once.
 */

const [name = "", options = "{}"] = process.argv.slice(2);
// Ctrl-C signals all processes of the terminal. The parent ends this one.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => void abort());
process.on("disconnect", () => process.exit(1));

/** @type {OpenPart | undefined} */
let opened;
/** @type {Promise<OpenPart>} */
const opening = import(`../parts/${name}.mjs`).then(
  async ({ open }) => (opened = await open(JSON.parse(options))),
);

async function abort() {
  await opened?.abort?.();
  process.exit(1);
}

const loopDelay = monitorEventLoopDelay({ resolution: 1 });

/** @type {Record<string, (argument: any) => unknown>} */
const COMMON = {
  ready: async () => (await opening).info,
  cpuSeconds() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  },
  residentBytes() {
    for (let i = 0; i < 3; i++) globalThis.gc?.();
    return process.memoryUsage.rss();
  },
  /** Begins to measure how long the event loop keeps a timer waiting. */
  watchLoop() {
    loopDelay.reset();
    loopDelay.enable();
  },
  /** Ends it. @returns the 99.9th percentile and the maximum, in milliseconds. */
  loopDelayMs() {
    loopDelay.disable();
    return { p999: loopDelay.percentile(99.9) / 1e6, max: loopDelay.max / 1e6 };
  },
  /** Resets the peak of its memory. Linux only. */
  forgetPeak: () => writeFileSync("/proc/self/clear_refs", "5"),
  /** Peak resident memory since the reset, in bytes. */
  peakBytes: () =>
    Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024,
  stop: async () => (await opening).close?.(),
};

/** @param {{ id: number, method: string, argument: unknown }} asked */
async function respond({ id, method, argument }) {
  const send = (/** @type {object} */ answer) =>
    process.send?.({ id, ...answer }, () => {
      // By exit, so that a profile is written.
      if (method === "stop") process.exit(0);
    });
  try {
    const work = COMMON[method] ?? (await opening).methods?.[method];
    if (work === undefined) throw new Error(`${name} has no method ${method}`);
    send({ value: await work(argument) });
  } catch (error) {
    send({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

process.on("message", (/** @type {any} */ asked) => void respond(asked));
