/**
 * The flags of the demo.
 */
import { parseArgs } from "node:util";
import { Failure } from "../lib/project.mjs";

/** The service's default port. */
const DEFAULT_PORT = 3112;
const TICKS_PER_SECOND = 2;

/**
 * @typedef {object} DemoOptions
 * @property {number} ticks Number of ticks. Infinity: until a signal to stop.
 * @property {number} port Port of the service, running or started.
 * @property {string | undefined} data Data folder of a started service.
 */

/**
 * Parses the flags.
 *
 * @param {readonly string[]} args
 * @returns {DemoOptions}
 * @throws {Failure} For an unknown flag or a bad number.
 */
export function parseOptions(args) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        once: { type: "boolean", default: false },
        seconds: { type: "string" },
        port: { type: "string", default: String(DEFAULT_PORT) },
        data: { type: "string" },
      },
    });
    return {
      ticks: ticksOf(values.once, values.seconds),
      port: numberOf("--port", values.port, 65_535),
      data: values.data,
    };
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new Failure(
      `${problem}\nUse: npm run demo [-- [--once | --seconds N] [--port N] [--data FOLDER]]`,
    );
  }
}

/**
 * @param {boolean} once
 * @param {string | undefined} seconds
 */
function ticksOf(once, seconds) {
  if (once) return 1;
  if (seconds === undefined) return Number.POSITIVE_INFINITY;
  return numberOf("--seconds", seconds, 86_400) * TICKS_PER_SECOND;
}

/**
 * @param {string} flag
 * @param {string} text
 * @param {number} most
 */
function numberOf(flag, text, most) {
  const number = Number(text);
  if (/^\d{1,5}$/.test(text) && number >= 1 && number <= most) return number;
  throw new Error(`${flag} is "${text}"; it may be an integer from 1 to ${most}.`);
}
