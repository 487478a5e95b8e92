/* What the load generator asks for. */
import { create, fromJson, toBinary } from "@bufbuild/protobuf";
import { ValueSchema, durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  BatchRequestSchema,
  GetRequestSchema,
  SetRequestSchema,
  UpdateRequestSchema,
} from "../../dist/src/v1.js";

/** Path of a method. @param {string} method */
export const pathOf = (method) => `/millrace.v1.StreamService/${method}`;
/** Stream of all benchmarks. */
export const STREAM = "bench";

/**
 * @typedef {object} Where Which items are touched.
 * @property {number} groups
 * @property {number} itemsPerGroup
 * @property {number} [stride] Distance between the groups, among all groups.
 * @property {number} [ttlSeconds] Lifetime of what is set. Default: none.
 *
 * @typedef {object} Asked A request, and what its response must contain.
 * @property {Uint8Array} message
 * @property {Buffer} marker
 */

/** A value of 62 bytes as JSON, with a text of its own. @param {number} i */
export const smallValue = (i) => ({
  note: marker(i),
  likes: 123,
  tags: ["alfa", "b"],
  ok: true,
});

/**
 * A value with a given size as JSON, and a unique text.
 *
 * @param {number} i
 * @param {number} bytes
 */
export function valueOf(i, bytes) {
  const value = { note: marker(i), pad: "" };
  value.pad = "x".repeat(bytes - JSON.stringify(value).length);
  return value;
}

/** @param {number} i */
const marker = (i) => `n${String(i).padStart(8, "0")}`;

/** Name of a group. All have the same length. @param {number} i */
export const groupName = (i) => `g${String(i).padStart(6, "0")}`;

/** Group of the request with that number. @param {Where} where @param {number} i */
export const groupOf = ({ groups, stride = 1 }, i) => groupName((i % groups) * stride);

/**
 * @type {Readonly<Record<"Set" | "Get" | "Update", (groupId: string, itemId: string, i: number, ttlSeconds?: number) =>
 * Uint8Array>>}
 */
const MESSAGES = {
  Set: (groupId, itemId, i, ttlSeconds) =>
    toBinary(
      SetRequestSchema,
      create(SetRequestSchema, { ...set(groupId, itemId, smallValue(i)), ...lasting(ttlSeconds) }),
    ),
  Get: (groupId, itemId) =>
    toBinary(GetRequestSchema, create(GetRequestSchema, { streamName: STREAM, groupId, itemId })),
  Update: (groupId, itemId) =>
    toBinary(
      UpdateRequestSchema,
      create(UpdateRequestSchema, {
        streamName: STREAM,
        groupId,
        itemId,
        ops: [{ op: { case: "increment", value: { path: "likes", by: 1n } } }],
      }),
    ),
};

/** The lifetime of what is set, as its request has it. @param {number | undefined} ttlSeconds */
export function lasting(ttlSeconds) {
  return ttlSeconds === undefined ? {} : { ttl: durationFromMs(ttlSeconds * 1000) };
}

/**
 * @param {string} groupId
 *
 * @param {string} itemId
 * @param {import("@bufbuild/protobuf").JsonValue} value
 */
function set(groupId, itemId, value) {
  return { streamName: STREAM, groupId, itemId, data: fromJson(ValueSchema, value) };
}

/**
 * Requests for every item, in an order that changes the group each time.
 *
 * @param {"Set" | "Get" | "Update"} method
 * @param {Where} where
 * @returns {Asked[]}
 */
export function unaryRequests(method, where) {
  const { groups, itemsPerGroup, ttlSeconds } = where;
  return Array.from({ length: groups * itemsPerGroup }, (_, i) => {
    const item = `i${Math.floor(i / groups)}`;
    const message = MESSAGES[method](groupOf(where, i), item, i, ttlSeconds);
    return { message, marker: Buffer.from(marker(i)) };
  });
}

/**
 * One request of sets for each group.
 *
 * @param {Where & { valueBytes: number }} where
 * @returns {Asked[]}
 */
export function batchRequests({ groups, itemsPerGroup, valueBytes }) {
  return Array.from({ length: groups }, (_, i) => {
    const mutations = Array.from({ length: itemsPerGroup }, (__, item) => ({
      mutation: {
        case: /** @type {const} */ ("set"),
        value: { itemId: `i${item}`, data: fromJson(ValueSchema, valueOf(item, valueBytes)) },
      },
    }));
    const request = { streamName: STREAM, groupId: groupName(i), mutations };
    // The results have no values; the field of the position comes last.
    return {
      message: toBinary(BatchRequestSchema, create(BatchRequestSchema, request)),
      marker: Buffer.from([0x12]),
    };
  });
}

/**
 * A set of one item of a group.
 *
 * @param {string} groupId
 * @param {string} itemId
 * @param {import("@bufbuild/protobuf").JsonValue} value
 */
export const setRequest = (groupId, itemId, value) =>
  create(SetRequestSchema, set(groupId, itemId, value));
