/* Baseline: a stock handler of connect-node over a Map, and stock async generators for Subscribe. */
import { createServer as createHttp1 } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ChangeType, StreamService, SubscribeResponseSchema } from "../../dist/src/v1.js";
import { listening } from "../lib/listening.mjs";
import { mapService } from "../lib/map-service.mjs";

/** @typedef {import("../../dist/src/v1.js").SubscribeResponse} SubscribeResponse */

/**
 * Opens the part.
 *
 * @param {{ http1?: boolean, twice?: boolean }} options
 */
export async function open({ http1 = false, twice = false }) {
  const service = mapService({ twice });
  /** @type {Set<(frame: SubscribeResponse) => void>} */
  const followers = new Set();
  const handler = connectNodeAdapter({
    routes(router) {
      router.service(StreamService, {
        get: service.get,
        update: service.update,
        set(request) {
          const answer = service.set(request);
          if (followers.size > 0) {
            const { itemId } = request;
            const frame = create(SubscribeResponseSchema, {
              frame: { case: "change", value: changeOf(itemId, answer) },
            });
            for (const deliver of followers) deliver(frame);
          }
          return answer;
        },
        async *subscribe(_request, { signal }) {
          yield create(SubscribeResponseSchema, {
            frame: { case: "sync", value: { first: true, last: true } },
          });
          yield* follow(followers, signal);
        },
      });
    },
  });
  const server = http1 ? createHttp1(handler) : createHttp2(handler);
  const url = await listening(server);
  return { info: { url } };
}

/** @param {string} itemId @param {import("../../dist/src/v1.js").SetResponse} answer */
function changeOf(itemId, { newValue, position }) {
  const change = { type: ChangeType.UPDATE, itemId, timestamp: BigInt(Date.now()) };
  return {
    ...change,
    ...(newValue === undefined ? {} : { data: newValue }),
    ...(position === undefined ? {} : { position }),
  };
}

/** @param {Set<(frame: SubscribeResponse) => void>} followers @param {AbortSignal} signal */
async function* follow(followers, signal) {
  /** @type {SubscribeResponse[]} */
  const queue = [];
  let wake = () => {};
  /** @param {SubscribeResponse} frame */
  const deliver = (frame) => {
    queue.push(frame);
    wake();
  };
  followers.add(deliver);
  signal.addEventListener("abort", () => wake());
  try {
    while (!signal.aborted) {
      const frame = queue.shift();
      if (frame !== undefined) yield frame;
      else
        await new Promise((/** @type {(value?: undefined) => void} */ resolve) => (wake = resolve));
    }
  } finally {
    followers.delete(deliver);
  }
}
