/**
 * The figures of this machine, from the operating system.
 */
import { readFileSync } from "node:fs";
import { cpus, freemem, loadavg, totalmem } from "node:os";

/**
 * @typedef {object} Figure One figure at one time.
 * @property {string} id Unique among the figures, for example `cpu-0`.
 * @property {string} label To display.
 * @property {string} unit
 * @property {number} value
 */

/**
 * @typedef {object} Machine The source of figures.
 * @property {() => readonly { times: Readonly<Record<string, number>> }[]} cpus Milliseconds that
 *   each core spent.
 * @property {() => readonly number[] | undefined} loadavg Over 1, 5 and 15 minutes; undefined:
 *   not available.
 * @property {() => number} totalmem Bytes.
 * @property {() => number} freemem Bytes available to programs.
 * @property {() => string | undefined} netDev Text of /proc/net/dev; undefined: not available.
 * @property {() => number} nowMs A clock that only goes forward, in milliseconds.
 */

/** @type {Machine} */
const THIS_MACHINE = {
  cpus,
  // Windows has none: Node returns zeros.
  loadavg: () => (process.platform === "win32" ? undefined : loadavg()),
  totalmem,
  freemem,
  netDev() {
    try {
      return readFileSync("/proc/net/dev", "utf8");
    } catch {
      return undefined;
    }
  },
  nowMs: () => performance.now(),
};

/**
 * Creates a meter. Each call returns all figures, with rates since the previous call, or since the
 * creation of the meter.
 *
 * @param {Machine} machine
 * @returns {() => Figure[]}
 */
export function createMachineMeter(machine = THIS_MACHINE) {
  let before = look(machine);
  return () => {
    const now = look(machine);
    const figures = [
      ...cpuFigures(before, now),
      ...loadFigures(machine.loadavg()),
      ...memoryFigures(machine.totalmem(), machine.freemem()),
      ...networkFigures(before, now),
    ];
    before = now;
    return figures;
  };
}

/**
 * Lists the figures that this operating system does not provide.
 *
 * @param {readonly Figure[]} figures
 * @returns {string[]}
 */
export function namesOfAbsent(figures) {
  /** @param {string} prefix */
  const has = (prefix) => figures.some(({ id }) => id.startsWith(prefix));
  return [
    ...(has("load-") ? [] : ["load averages (this system has none)"]),
    ...(has("net-") ? [] : ["network bytes per second (this system has no /proc/net/dev)"]),
  ];
}

/**
 * @typedef {object} Look A measurement, kept to compute rates.
 * @property {number} atMs
 * @property {{ idle: number, all: number }[]} cores
 * @property {Map<string, { received: number, sent: number }>} interfaces Bytes so far.
 */

/**
 * @param {Machine} machine
 * @returns {Look}
 */
function look(machine) {
  const cores = machine.cpus().map(({ times }) => ({
    idle: times["idle"] ?? 0,
    all: Object.values(times).reduce((sum, time) => sum + time, 0),
  }));
  return { atMs: machine.nowMs(), cores, interfaces: parseNetDev(machine.netDev() ?? "") };
}

/**
 * Reads the counters of /proc/net/dev: two lines of heading, then one line per interface with its
 * name, a colon, eight numbers for receiving (bytes first) and eight for sending.
 *
 * @param {string} text
 * @returns {Map<string, { received: number, sent: number }>} Bytes by interface.
 */
export function parseNetDev(text) {
  const interfaces = new Map();
  for (const line of text.split("\n").slice(2)) {
    const colon = line.lastIndexOf(":");
    const counters = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const [received, sent] = [counters[0], counters[8]];
    if (colon < 0 || received === undefined || sent === undefined) continue;
    interfaces.set(line.slice(0, colon).trim(), { received, sent });
  }
  return interfaces;
}

/**
 * @param {Look} before
 * @param {Look} now
 * @returns {Figure[]}
 */
function cpuFigures(before, now) {
  return now.cores.map(({ idle, all }, core) => {
    const earlier = before.cores[core];
    const spent = earlier === undefined ? 0 : all - earlier.all;
    const busy = earlier === undefined || spent <= 0 ? 0 : 1 - (idle - earlier.idle) / spent;
    const value = round(Math.min(1, Math.max(0, busy)) * 100, 1);
    return { id: `cpu-${core}`, label: `CPU core ${core}`, unit: "%", value };
  });
}

/**
 * @param {readonly number[] | undefined} loads
 * @returns {Figure[]}
 */
function loadFigures(loads) {
  if (loads === undefined) return [];
  return [1, 5, 15].map((minutes, index) => ({
    id: `load-${minutes}m`,
    label: `Load average, ${minutes} min`,
    unit: "tasks",
    value: round(loads[index] ?? 0, 2),
  }));
}

/**
 * @param {number} total
 * @param {number} free
 * @returns {Figure[]}
 */
function memoryFigures(total, free) {
  return [
    { id: "memory-used", label: "Memory in use", unit: "bytes", value: total - free },
    { id: "memory-total", label: "Memory", unit: "bytes", value: total },
  ];
}

/**
 * @param {Look} before
 * @param {Look} now
 * @returns {Figure[]}
 */
function networkFigures(before, now) {
  const seconds = (now.atMs - before.atMs) / 1000;
  /** @param {number} bytes Growth of a counter; negative when it was reset. */
  const rate = (bytes) => (seconds > 0 ? Math.max(0, Math.round(bytes / seconds)) : 0);
  return [...now.interfaces].flatMap(([name, { received, sent }]) => {
    const earlier = before.interfaces.get(name) ?? { received, sent };
    return [
      {
        id: `net-${name}-received`,
        label: `Received on ${name}`,
        unit: "bytes/s",
        value: rate(received - earlier.received),
      },
      {
        id: `net-${name}-sent`,
        label: `Sent on ${name}`,
        unit: "bytes/s",
        value: rate(sent - earlier.sent),
      },
    ];
  });
}

/**
 * @param {number} value
 * @param {number} digits After the point.
 */
function round(value, digits) {
  return Number(value.toFixed(digits));
}
