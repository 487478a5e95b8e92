/* What the scenarios of fan-out have in common. */
import { alternate } from "./alternate.mjs";
import { withCpu } from "./parts.mjs";
import { P50, P99, perCpuSecond, perSecond, rowOf } from "./row.mjs";

/** @typedef {import("./parts.mjs").Part} Part */
/** @typedef {import("./row.mjs").Target} Target */

/** Number of followers. */
const FOLLOWERS = 1000;
/** Events per second at a low rate: all followers receive one before the next. */
const LOW_RATE = 10;
/** Events under way at the highest rate. */
const WINDOW = 16;

/**
 * @typedef {object} Crowd
 * @property {string} name
 * @property {import("../load/fan-out.mjs").Kind} kind
 * @property {Part} server
 *
 * @typedef {object} Targets
 * @property {Target | undefined} [low] Of each ratio at a low rate.
 * @property {Target | undefined} [high] Of the ratio of deliveries per CPU second at the highest
 *   rate.
 */

/**
 * Connects all crowds, and publishes to them in turn: at a low rate, at a given higher one, and at
 * the highest possible one.
 *
 * @param {import("../run.mjs").Context} context
 * @param {object} given
 * @param {string} given.what
 * @param {Part} given.load
 * @param {readonly Crowd[]} given.crowds Ours first.
 * @param {Readonly<Record<string, Targets>>} given.targets By the name of whom we are compared
 *   with.
 * @param {{ rate: number, deliveries: Target, p99: Target } | undefined} [given.steady] A rate that
 *   only we are asked to hold.
 */
export async function measureFanOut({ pace, report }, { what, load, crowds, targets, steady }) {
  for (const { name, kind, server } of crowds)
    await load.call("gather", { name, kind, url: server.url, followers: FOLLOWERS });
  /** @param {object} how */
  const contenders = (how) =>
    crowds.map(({ name, server }) => ({
      name,
      round: async (/** @type {number} */ seconds) =>
        withCpu(server, async () => load.call("broadcast", { name, seconds, ...how })),
    }));
  const [first, ...others] = crowds.map(({ name }) => name);
  /** @param {Map<string, import("./row.mjs").Round[]>} rounds @param {string} [name] */
  const of = (rounds, name = first ?? "") => rounds.get(name) ?? [];

  // The highest rate comes first: it warms up all servers.
  const high = await alternate(contenders({ window: WINDOW }), pace);
  const low = await alternate(contenders({ rate: LOW_RATE }), {
    ...pace,
    // Long enough for several events.
    seconds: Math.max(0.5, pace.seconds),
  });
  const atLow = `${what}, ${LOW_RATE} events/s`;
  const atMost = `${what}, as many as it can take`;
  for (const name of others) {
    const lows = { name, rounds: of(low, name) };
    const highs = { name, rounds: of(high, name) };
    const given = targets[name] ?? {};
    const lowTarget = given.low && { target: given.low };
    const highTarget = given.high && { target: given.high };
    report([
      rowOf({ what: atLow, metric: SPEED, ours: of(low), against: lows, ...lowTarget }),
      rowOf({ what: atLow, metric: P50, ours: of(low), against: lows }),
      rowOf({ what: atLow, metric: P99, ours: of(low), against: lows }),
      rowOf({ what: atLow, metric: PER_CPU, ours: of(low), against: lows, ...lowTarget }),
      rowOf({ what: atMost, metric: DELIVERIES, ours: of(high), against: highs }),
      rowOf({ what: atMost, metric: PER_CPU, ours: of(high), against: highs, ...highTarget }),
      rowOf({ what: atMost, metric: P99, ours: of(high), against: highs }),
    ]);
  }
  if (steady === undefined) return;
  const { rate, deliveries, p99 } = steady;
  const held = await alternate(contenders({ rate }).slice(0, 1), pace);
  const atSteady = `${what}, ${rate} events/s`;
  report([
    rowOf({ what: atSteady, metric: DELIVERIES, ours: of(held), target: deliveries }),
    rowOf({ what: atSteady, metric: P99, ours: of(held), target: p99 }),
  ]);
}

const DELIVERIES = perSecond("deliveries");
const PER_CPU = perCpuSecond("deliveries");

/**
 * Speed of delivery: the inverse of the median latency, so that more is better. @type
 * {import("./row.mjs").Metric}
 */
const SPEED = { name: "1 / p50", unit: "1/s", of: ({ p50Ms }) => 1000 / p50Ms };
