/* Streams of writes over gRPC, with many requests under way on each. */
import { Latencies } from "../lib/arithmetic.mjs";
import { EnvelopeReader } from "./envelopes.mjs";
import { openFrames } from "./frame-connection.mjs";
import { isGrpcOk, isStatus200 } from "./header-block.mjs";
import { pathOf } from "./requests.mjs";

/** Request ids have three bytes each, so that they fit into a prepared request. */
const FIRST_ID = 2 ** 14;
const IDS = 2 ** 20;
/** Offset of the id: after the envelope's prefix and the field's tag. */
const ID_AT = 6;
const FIELD_REQUEST_ID = 0x08;
/** Interval of sends at a limited rate, in milliseconds. */
const PACE_MS = 10;

/**
 * @typedef {object} Pipeline
 * @property {string} url
 * @property {number} streams
 * @property {number} inFlight Requests under way on each stream.
 * @property {(i: number) => Buffer} request A request made by `writeRequest`, which may be changed.
 * @property {number} answerTag First byte of a response after its id.
 * @property {(sent: number) => number} allowance Requests that may be sent now; -1: the load is
 *   over.
 * @property {boolean} [isPaced] Whether the allowance may grow without a response.
 */

/**
 * A request of a stream of writes, in its envelope, with room for its id.
 *
 * @param {number} tag
 * @param {Uint8Array} call
 */
export function writeRequest(tag, call) {
  const head = [FIELD_REQUEST_ID, 0, 0, 0, tag];
  let length = call.byteLength;
  for (; length > 127; length >>= 7) head.push(0x80 | (length & 127));
  head.push(length);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(head.length + call.byteLength, 1);
  return Buffer.concat([prefix, Buffer.from(head), call]);
}

/**
 * Sends as much as is allowed, and waits for all responses. Rejects at the first error.
 *
 * @param {Pipeline} options
 * @returns {Promise<import("../lib/row.mjs").Round>}
 */
export async function pipeline(options) {
  const latencies = new Latencies();
  const count = { sent: 0 };
  const startMs = performance.now();
  await Promise.all(
    Array.from({ length: options.streams }, async () => oneStream(options, latencies, count)),
  );
  return {
    ops: latencies.count,
    seconds: (performance.now() - startMs) / 1000,
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
  };
}

/**
 * @param {Pipeline} options
 *
 * @param {Latencies} latencies
 * @param {{ sent: number }} count Of all streams.
 */
async function oneStream(options, latencies, count) {
  const { url, inFlight, request, answerTag, allowance, isPaced = false } = options;
  const headers = { "content-type": "application/grpc+proto", te: "trailers" };
  const connection = await openFrames(url, pathOf("Write"), headers);
  // Request -> time when it was sent; 0: not sent, or completed.
  const sentMs = new Float64Array(IDS);
  let waiting = 0;
  let nowMs = 0;
  const answers = new EnvelopeReader((message) => {
    const i = idOf(message) - FIRST_ID;
    const ms = sentMs[i];
    if (ms === undefined || ms === 0)
      throw new Error(`a response to ${i}, which was not requested`);
    if (message[4] !== answerTag) throw new Error(String(message));
    sentMs[i] = 0;
    waiting--;
    latencies.add(nowMs - ms);
  });
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  try {
    await new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
      let isEnding = false;
      let blocks = 0;
      let isOk = true;
      const fail = (/** @type {Error} */ error) => reject(new Error(`Write: ${error.message}`));
      const stream = connection.request(undefined, false, {
        onHeaders(block, isEnd) {
          isOk &&= ++blocks === 1 ? isStatus200(block) && !isEnd : isGrpcOk(block);
          if (!isEnd) return;
          if (isOk && waiting === 0 && isEnding && answers.isBetween) resolve();
          else fail(new Error(`it ended with ${waiting} requests without a response`));
        },
        onData(bytes) {
          nowMs = performance.now();
          try {
            answers.take(bytes);
          } catch (error) {
            return fail(/** @type {Error} */ (error));
          }
          more();
        },
        onFailure: fail,
      });
      const more = () => {
        if (isEnding) return;
        const allowed = allowance(count.sent);
        const parts = [];
        nowMs = performance.now();
        for (let i = Math.min(inFlight - waiting, allowed); i > 0; i--) {
          const id = count.sent % IDS;
          const bytes = request(count.sent++);
          putId(bytes, FIRST_ID + id);
          parts.push(bytes);
          waiting++;
          sentMs[id] = nowMs;
        }
        if (parts.length > 0) connection.write(stream, Buffer.concat(parts), false);
        if (allowed >= 0) return;
        isEnding = true;
        connection.write(stream, Buffer.alloc(0), true);
      };
      if (isPaced) timer = setInterval(more, PACE_MS);
      more();
    });
  } finally {
    clearInterval(timer);
    connection.close();
  }
}

/** @param {Buffer} request @param {number} id */
function putId(request, id) {
  request[ID_AT] = 0x80 | (id & 127);
  request[ID_AT + 1] = 0x80 | ((id >> 7) & 127);
  request[ID_AT + 2] = id >> 14;
}

/** @param {Buffer} message */
function idOf(message) {
  const [tag = 0, first = 0, second = 0, third = 0] = message;
  if (tag !== FIELD_REQUEST_ID) throw new Error("a response without an id");
  return (first & 127) | ((second & 127) << 7) | (third << 14);
}
