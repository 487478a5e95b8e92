/* Rounds that alternate, so that all contenders see the same machine. */

/**
 * @typedef {import("./row.mjs").Round} Round
 *
 * @typedef {object} Contender
 * @property {string} name
 * @property {(seconds: number) => Promise<Round>} round Measures for about that long. Rejects on an
 *   error or a wrong response.
 *
 * @typedef {object} Pace The length of a measurement.
 * @property {number} pairs
 * @property {number} seconds Of a round.
 * @property {number} warmUpSeconds
 */

/**
 * Warms up all contenders, then measures them in turn, with an alternating first one.
 *
 * @param {readonly Contender[]} contenders
 * @param {Pace} pace
 * @returns {Promise<Map<string, Round[]>>} Rounds by name: those of the same index are a pair.
 */
export async function alternate(contenders, { pairs, seconds, warmUpSeconds }) {
  const rounds = new Map(contenders.map(({ name }) => [name, /** @type {Round[]} */ ([])]));
  for (const { round } of contenders) await round(warmUpSeconds);
  for (let pair = 0; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? contenders : contenders.toReversed();
    for (const { name, round } of order) rounds.get(name)?.push(sound(name, await round(seconds)));
  }
  return rounds;
}

/** @param {string} name @param {Round} round */
function sound(name, round) {
  if (!(round.ops > 0 && round.seconds > 0)) throw new Error(`${name} did nothing in a round.`);
  return round;
}
