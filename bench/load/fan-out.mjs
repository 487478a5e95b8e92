/* A crowd of followers, and a publisher. */
import { toBinary } from "@bufbuild/protobuf";
import { SetRequestSchema } from "../../dist/src/v1.js";
import { Chorus, Follower } from "./chorus.mjs";
import { splitEnvelope } from "./envelopes.mjs";
import { PROTOCOLS } from "./lanes.mjs";
import { STREAM, pathOf, setRequest, valueOf } from "./requests.mjs";
import { openSubscriptions } from "./subscriptions.mjs";
import { GREETINGS, openWebSocket, splitFrame, textFrame } from "./web-socket.mjs";

/**
 * @typedef {keyof typeof GREETINGS | "grpc"} Kind How followers connect: our WebSockets, plain
 *   ones, those of Socket.IO, or Subscribe.
 *
 * @typedef {object} Crowd
 * @property {Chorus} chorus
 * @property {(event: number) => Promise<void>} publish Resolves with the response, if there is one.
 * @property {() => void} close
 */

const GROUP = "fan";
const VALUE_BYTES = 256;
/** Connections that are opened at a time. */
const OPENING = 50;

/** @type {Map<string, Crowd>} */
const crowds = new Map();

/** @param {number} event */
const valueAt = (event) => valueOf(event, VALUE_BYTES);
/** What a response must contain. @param {number} event */
const markerOf = (event) => valueAt(event).note;
/** What a socket must receive. @param {number} event */
const textOf = (event) => JSON.stringify(valueAt(event));

/**
 * Connects a crowd, which stays until it is dispersed.
 *
 * @param {{ name: string, url: string, kind: Kind, followers: number }} options
 */
export async function gather({ name, url, kind, followers }) {
  const chorus =
    kind === "grpc" ? new Chorus(splitEnvelope, markerOf) : new Chorus(splitFrame, textOf);
  const onFailure = (/** @type {Error} */ error) =>
    chorus.fail(new Error(`${name}: ${error.message}`, { cause: error }));
  const publisher = await openPublisher(url, kind, onFailure);
  const closers = [publisher.close];
  chorus.followers = Array.from({ length: followers }, () => new Follower());
  if (kind === "grpc") {
    // So that every snapshot is one short frame.
    await publisher.first?.();
    const to = { url, groupId: GROUP, onFailure };
    closers.push(
      await openSubscriptions(
        to,
        chorus.followers.map((follower) => (chunk) => chorus.take(follower, chunk)),
      ),
    );
  } else {
    for (let i = 0; i < followers; i += OPENING) {
      const some = chorus.followers.slice(i, i + OPENING);
      const sockets = await Promise.all(
        some.map(async (follower) =>
          openWebSocket({
            url,
            path: `/stream/${STREAM}/${GROUP}`,
            ...GREETINGS[kind],
            onBytes: (chunk) => chorus.take(follower, chunk),
            onFailure,
          }),
        ),
      );
      closers.push(() => {
        for (const socket of sockets) socket.removeAllListeners("close").destroy();
      });
    }
  }
  const close = () => {
    for (const closeOne of closers) closeOne();
  };
  crowds.set(name, { chorus, publish: publisher.publish, close });
}

/** Has a crowd go. @param {{ name: string }} crowd */
export function disperse({ name }) {
  crowds.get(name)?.close();
  crowds.delete(name);
}

/**
 * Publishes to a crowd for a while, at a rate or with a window of events under way.
 *
 * @param {{ name: string, seconds: number, rate?: number, window?: number }} options
 * @returns {Promise<import("../lib/row.mjs").Round>} Operations are deliveries.
 */
export async function broadcast({ name, seconds, rate, window = 1 }) {
  const crowd = crowds.get(name);
  if (crowd === undefined) throw new Error(`There is no crowd ${name}.`);
  const { chorus, publish } = crowd;
  chorus.restart();
  const startMs = performance.now();
  const untilMs = startMs + seconds * 1000;
  /** @type {Promise<void>[]} */
  const published = [];
  for (;;) {
    const nowMs = performance.now();
    if (nowMs >= untilMs) break;
    const dueMs = rate === undefined ? nowMs : startMs + (chorus.count / rate) * 1000;
    if (dueMs > nowMs) {
      await new Promise((resolve) => setTimeout(resolve, dueMs - nowMs));
      continue;
    }
    chorus.sent(dueMs);
    published.push(publish(chorus.count - 1));
    if (rate === undefined) await chorus.fewerThan(window);
  }
  await chorus.fewerThan(1);
  const endMs = performance.now();
  // A response may arrive after all followers have the event, and be an error nevertheless.
  await Promise.all(published);
  await chorus.fewerThan(1);
  const { latencies } = chorus;
  return {
    ops: latencies.count,
    seconds: (endMs - startMs) / 1000,
    p50Ms: latencies.quantile(0.5),
    p99Ms: latencies.quantile(0.99),
  };
}

/**
 * Opens the publisher of a crowd.
 *
 * @param {string} url
 * @param {Kind} kind
 * @param {(error: Error) => void} onFailure
 * @returns {Promise<Pick<Crowd, "publish" | "close"> & { first?: () => Promise<void> }>}
 */
async function openPublisher(url, kind, onFailure) {
  if (kind === "bridge" || kind === "grpc") {
    const { encode, open } = PROTOCOLS.grpc;
    const lane = await open(url, pathOf("Set"));
    /** @param {number} event @param {import("./lanes.mjs").Done} done */
    const set = (event, done) => {
      const message = toBinary(SetRequestSchema, setRequest(GROUP, "item", valueAt(event)));
      lane.call(encode(message), done);
    };
    return {
      close: lane.close,
      publish: async (event) =>
        new Promise((resolve) =>
          set(event, (error, answer) => {
            if (error !== undefined) onFailure(error);
            else if (!answer.includes(markerOf(event))) onFailure(new Error("a wrong response"));
            resolve();
          }),
        ),
      first: async () =>
        new Promise((resolve, reject) => set(0, (error) => (error ? reject(error) : resolve()))),
    };
  }
  const socket = await openWebSocket({
    url,
    path: "",
    ...GREETINGS[kind],
    ...(kind === "ws" && { path: "/publish" }),
    onBytes: () => {},
    onFailure,
  });
  return {
    close: () => void socket.removeAllListeners("close").destroy(),
    async publish(event) {
      const text = textOf(event);
      socket.write(textFrame(kind === "ws" ? text : `42["publish",${text}]`));
    },
  };
}
