/* Snapshots: the time from asking for one until its last part is there. */
import { Latencies } from "../lib/arithmetic.mjs";
import { closedLoop } from "../lib/closed-loop.mjs";
import { EnvelopeReader } from "./envelopes.mjs";
import { isStatus200 } from "./header-block.mjs";
import { PROTOCOLS } from "./lanes.mjs";
import { STREAM, groupName, groupOf, pathOf, unaryRequests } from "./requests.mjs";
import { openSubscribe, subscribeRequest } from "./subscriptions.mjs";
import { openWebSocket, payloadOf, splitFrame, textFrame } from "./web-socket.mjs";

/**
 * Takes one snapshot and checks that it has all items.
 *
 * @param {{ url: string, door: "grpc" | "websocket", items: number }} what
 * @returns {Promise<import("../lib/row.mjs").Round>}
 */
export async function snapshot({ url, door, items }) {
  const startMs = performance.now();
  const take = door === "grpc" ? overGrpc : overWebSocket;
  const { endMs, count } = await take(url, groupName(0));
  if (count !== items) throw new Error(`a snapshot of ${count} items; there are ${items}`);
  const ms = endMs - startMs;
  return { ops: 1, seconds: ms / 1000, p50Ms: ms, p99Ms: ms };
}

/** @param {string} url @param {string} groupId */
async function overGrpc(url, groupId) {
  const connection = await openSubscribe(url);
  let count = 0;
  try {
    const endMs = await new Promise((/** @type {(ms: number) => void} */ resolve, reject) => {
      const reader = new EnvelopeReader((message) => {
        // Frames after the snapshot may have arrived already.
        const part = readPart(message);
        count += part?.items ?? 0;
        if (part?.isLast) resolve(performance.now());
      });
      connection.request(subscribeRequest(groupId), true, {
        onHeaders: (block, isEnd) =>
          isEnd || !isStatus200(block) ? reject(new Error("a subscription ended")) : undefined,
        onData: (bytes) => reader.take(bytes),
        onFailure: reject,
      });
    });
    return { endMs, count };
  } finally {
    connection.close();
  }
}

const TAG_SYNC = 0x0a;
const TAG_ITEM = 0x0a;
const TAG_LAST = 0x20;
const LENGTH_DELIMITED = 2;

/**
 * Inspects a frame without decoding its items, which would dominate the cost.
 *
 * @param {Buffer} message
 * @returns {{ items: number, isLast: boolean } | undefined} Undefined: it is no part of a snapshot.
 */
function readPart(message) {
  if (message[0] !== TAG_SYNC) return undefined;
  let at = 1;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) throw new Error("a frame that is cut short");
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const length = number();
  if (at + length !== message.byteLength) throw new Error("a frame of another length");
  const part = { items: 0, isLast: false };
  while (at < message.byteLength) {
    const tag = number();
    const value = number();
    if (tag === TAG_ITEM) part.items++;
    if (tag === TAG_LAST) part.isLast = value === 1;
    if ((tag & 7) === LENGTH_DELIMITED) at += value;
  }
  return part;
}

/** @param {string} url @param {string} groupId */
async function overWebSocket(url, groupId) {
  /** @type {Buffer[]} */
  const parts = [];
  /** @type {import("node:net").Socket | undefined} */
  let socket;
  try {
    const endMs = await new Promise((/** @type {(ms: number) => void} */ resolve, reject) => {
      /** @type {Buffer} */
      let rest = Buffer.alloc(0);
      const asked = { subscriptionId: "s", streamName: STREAM, groupId, parts: true };
      const opening = openWebSocket({
        url,
        path: "/",
        onBytes(chunk) {
          rest = Buffer.concat([rest, chunk]);
          for (;;) {
            const end = splitFrame(rest, 0, rest.byteLength);
            if (end < 0) return;
            const payload = payloadOf(rest.subarray(0, end));
            rest = rest.subarray(end);
            if (!payload.includes('"subscriptionId":"s"')) continue;
            parts.push(Buffer.from(payload));
            if (payload.subarray(-100).includes('"last":true')) resolve(performance.now());
          }
        },
        onFailure: reject,
      });
      opening.then((opened) => {
        socket = opened;
        opened.write(textFrame(JSON.stringify({ type: "join", data: asked })));
      }, reject);
    });
    const counts = parts.map((part) => {
      /** @type {{ event: { type: string, ids?: string[] } }} */
      const { event } = JSON.parse(String(part));
      if (event.type !== "sync" || event.ids === undefined) throw new Error(String(part));
      return event.ids.length;
    });
    return { endMs, count: counts.reduce((sum, count) => sum + count, 0) };
  } finally {
    socket?.destroy();
  }
}

/** Joins per connection: servers treat many cancelled streams as an attack. */
const JOINS = 200;

/**
 * Joins groups over gRPC in turn, several at a time, each until its snapshot is complete.
 *
 * @param {{ url: string, where: import("./requests.mjs").Where, inFlight: number, seconds: number
 *   }} load
 * @returns {Promise<import("../lib/row.mjs").Round>}
 */
export async function joins({ url, where, inFlight, seconds }) {
  const bodies = Array.from({ length: where.groups }, (_, i) =>
    subscribeRequest(groupOf(where, i)),
  );
  const joiner = openJoiner(url);
  const round = await closedLoop(seconds, inFlight, async (i) => {
    const count = await joiner.join(bodies[i % bodies.length] ?? Buffer.alloc(0));
    if (count !== where.itemsPerGroup) throw new Error(`a join with ${count} items`);
  });
  await joiner.close();
  return round;
}

/**
 * Opens a window of a group over gRPC, one at a time. An item is set before each, which is not
 * measured, so that no state read before can be used again.
 *
 * @param {{ url: string, window: number, seconds: number }} load
 * @returns {Promise<import("../lib/row.mjs").Round>}
 */
export async function opens({ url, window, seconds }) {
  const { encode, open } = PROTOCOLS.grpc;
  const [set] = unaryRequests("Set", { groups: 1, itemsPerGroup: 1 });
  if (set === undefined) throw new Error("There is nothing to set.");
  const lane = await open(url, pathOf("Set"));
  const setBody = encode(set.message);
  const joiner = openJoiner(url);
  const body = subscribeRequest(groupName(0), window);
  const latencies = new Latencies();
  const startMs = performance.now();
  while (performance.now() < startMs + seconds * 1000) {
    await new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
      lane.call(setBody, (error) => (error === undefined ? resolve() : reject(error)));
    });
    const askedMs = performance.now();
    const count = await joiner.join(body);
    latencies.add(performance.now() - askedMs);
    if (count !== window) throw new Error(`a window of ${count} items`);
  }
  lane.close();
  await joiner.close();
  return {
    ops: latencies.count,
    seconds: (performance.now() - startMs) / 1000,
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
  };
}

/** Subscribes and unsubscribes, on a few connections in turn. @param {string} url */
function openJoiner(url) {
  let left = JOINS;
  let opening = openSubscribe(url);
  const opened = [opening];
  return {
    /** Resolves with the number of items of the first frame. @param {Buffer} body */
    async join(body) {
      if (left-- <= 0) {
        left = JOINS;
        opening = openSubscribe(url);
        opened.push(opening);
      }
      const connection = await opening;
      return new Promise((/** @type {(count: number) => void} */ resolve, reject) => {
        const reader = new EnvelopeReader((message) => {
          connection.cancel(id);
          resolve(readPart(message)?.items ?? 0);
        });
        const id = connection.request(body, true, {
          onHeaders: (block) =>
            isStatus200(block) ? undefined : reject(new Error("a join was refused")),
          onData: (bytes) => reader.take(bytes),
          onFailure: reject,
        });
      });
    },
    async close() {
      for (const each of opened) (await each).close();
    },
  };
}
