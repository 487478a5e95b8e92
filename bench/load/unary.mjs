/* Unary calls in a closed loop. */
import { Latencies } from "../lib/arithmetic.mjs";
import { PROTOCOLS } from "./lanes.mjs";
import { batchRequests, pathOf, unaryRequests } from "./requests.mjs";

/**
 * @typedef {object} UnaryLoad
 * @property {string} url
 * @property {keyof typeof PROTOCOLS} protocol
 * @property {"Set" | "Get" | "Update" | "Batch"} method
 * @property {number} inFlight
 * @property {number} [seconds] Duration. Default: until every request was sent once.
 * @property {import("./requests.mjs").Where} where
 * @property {number} [valueBytes] Of a batch.
 */

/** Cache of encoded requests. @type {Map<string, import("./requests.mjs").Asked[]>} */
const made = new Map();

/** @param {UnaryLoad} load */
function requestsOf({ method, where, valueBytes = 256 }) {
  const key = JSON.stringify([method, where, valueBytes]);
  const present = made.get(key);
  if (present !== undefined) return present;
  const requests =
    method === "Batch" ? batchRequests({ ...where, valueBytes }) : unaryRequests(method, where);
  made.set(key, requests);
  return requests;
}

/**
 * Calls until the time is over. Rejects at the first error or wrong response.
 *
 * @param {UnaryLoad} load
 * @returns {Promise<import("../lib/row.mjs").Round>}
 */
export async function unary(load) {
  const { url, protocol, method, inFlight, seconds } = load;
  const { encode, open, callsPerLane } = PROTOCOLS[protocol];
  const asked = requestsOf(load);
  const bodies = asked.map(({ message }) => encode(message));
  // A few connections, like a service with a few clients.
  const laneCount = Math.max(Math.ceil(inFlight / callsPerLane), Math.min(4, inFlight));
  const lanes = await Promise.all(
    Array.from({ length: laneCount }, async () => open(url, pathOf(method))),
  );
  const latencies = new Latencies();
  const startMs = performance.now();
  const untilMs = seconds === undefined ? Infinity : startMs + seconds * 1000;
  const most = seconds === undefined ? asked.length : Infinity;
  let next = 0;
  try {
    await new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
      let active = 0;
      /** @param {import("./lanes.mjs").Lane} lane */
      const step = (lane) => {
        const sentMs = performance.now();
        if (sentMs >= untilMs || next >= most) {
          if (--active === 0) resolve();
          return;
        }
        const i = next++ % asked.length;
        lane.call(bodies[i] ?? Buffer.alloc(0), (error, answer) => {
          if (error !== undefined) return reject(new Error(`${method}: ${error.message}`));
          const marker = asked[i]?.marker ?? "";
          if (!answer.includes(marker))
            return reject(new Error(`${method}: the response lacks ${String(marker)}`));
          latencies.add(performance.now() - sentMs);
          step(lane);
        });
      };
      active = inFlight;
      for (let i = 0; i < inFlight; i++) {
        const lane = lanes[i % lanes.length];
        if (lane !== undefined) step(lane);
      }
    });
  } finally {
    for (const lane of lanes) lane.close();
  }
  return {
    ops: latencies.count,
    seconds: (performance.now() - startMs) / 1000,
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
  };
}
