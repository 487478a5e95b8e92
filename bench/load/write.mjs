/* What is sent over streams of writes. */
import { create, fromJson, toBinary } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { BatchRequestSchema, SetRequestSchema } from "../../dist/src/v1.js";
import { clientOf } from "./check.mjs";
import { pipeline, writeRequest } from "./pipeline.mjs";
import {
  STREAM,
  groupName,
  groupOf,
  lasting,
  setRequest,
  smallValue,
  valueOf,
} from "./requests.mjs";

/**
 * @typedef {object} WriteLoad
 * @property {string} url
 * @property {number} streams
 * @property {number} inFlight Requests under way on each stream.
 * @property {number} seconds
 * @property {number} [rate] Requests per second of all streams. Default: unlimited.
 * @property {import("./requests.mjs").Where} where
 * @property {number} valueBytes
 */

const SET = { tag: 0x1a, answerTag: 0x12 };
const BATCH = { tag: 0x3a, answerTag: 0x32 };
/** Most mutations of a batch. */
const BATCH_ITEMS = 1000;

/**
 * Sets items in turn until the time is over.
 *
 * @param {WriteLoad} load
 * @returns {Promise<import("../lib/row.mjs").Round>}
 */
export async function write({ url, streams, inFlight, seconds, rate, where, valueBytes }) {
  const { groups, itemsPerGroup } = where;
  const templates = Array.from({ length: groups * itemsPerGroup }, (_, i) => {
    const item = `i${Math.floor(i / groups)}`;
    const set = setRequest(groupOf(where, i), item, valueOf(i, valueBytes));
    return writeRequest(SET.tag, toBinary(SetRequestSchema, set));
  });
  const startMs = performance.now();
  return pipeline({
    url,
    streams,
    inFlight,
    request: (i) => Buffer.from(templates[i % templates.length] ?? ""),
    answerTag: SET.answerTag,
    allowance(sent) {
      const passed = (performance.now() - startMs) / 1000;
      if (passed >= seconds) return -1;
      return rate === undefined ? Infinity : Math.max(0, Math.ceil(passed * rate) - sent);
    },
    isPaced: rate !== undefined,
  });
}

/**
 * Writes every item of the groups once.
 *
 * @param {{ url: string, groups: number, itemsPerGroup: number, ttlSeconds?: number }} what
 * @returns {Promise<import("../lib/row.mjs").Round>} Operations are batches.
 */
export async function fill({ url, groups, itemsPerGroup, ttlSeconds }) {
  const batches = Math.ceil(itemsPerGroup / BATCH_ITEMS);
  const name = groupName(0);
  const templates = Array.from({ length: batches }, (_, batch) => {
    const count = Math.min(BATCH_ITEMS, itemsPerGroup - batch * BATCH_ITEMS);
    const mutations = Array.from({ length: count }, (__, i) => {
      const item = batch * BATCH_ITEMS + i;
      const data = fromJson(ValueSchema, smallValue(item));
      const value = { itemId: `i${item}`, data, ...lasting(ttlSeconds) };
      return { mutation: { case: /** @type {const} */ ("set"), value } };
    });
    const message = create(BatchRequestSchema, { streamName: STREAM, groupId: name, mutations });
    const request = writeRequest(BATCH.tag, toBinary(BatchRequestSchema, message));
    return { request, nameAt: request.indexOf(name) };
  });
  const total = groups * batches;
  return pipeline({
    url,
    streams: 2,
    inFlight: Math.max(1, Math.min(500, Math.floor(5000 / Math.min(itemsPerGroup, BATCH_ITEMS)))),
    request(i) {
      const { request = Buffer.alloc(0), nameAt = 0 } = templates[i % batches] ?? {};
      const bytes = Buffer.from(request);
      bytes.write(groupName(Math.floor(i / batches)), nameAt);
      return bytes;
    },
    answerTag: BATCH.answerTag,
    allowance: (sent) => (sent >= total ? -1 : total - sent),
  });
}

/**
 * Number of changes, by the heads of the groups.
 *
 * @param {{ url: string, where: import("./requests.mjs").Where }} load
 * @returns {Promise<number>}
 */
export async function revisions({ url, where }) {
  const client = clientOf(url);
  const positions = await Promise.all(
    Array.from({ length: where.groups }, async (_, i) => {
      const group = { streamName: STREAM, groupId: groupOf(where, i) };
      const { position } = await client.list({ ...group, pageSize: 1 });
      return Number(position?.revision ?? 0n);
    }),
  );
  return positions.reduce((sum, revision) => sum + revision, 0);
}
