/* Many Subscribe streams over gRPC, as cheap as it gets. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SubscribeRequestSchema, SubscribeResponseSchema } from "../../dist/src/v1.js";
import { envelope, splitEnvelope } from "./envelopes.mjs";
import { openFrames } from "./frame-connection.mjs";
import { isStatus200 } from "./header-block.mjs";
import { STREAM, pathOf } from "./requests.mjs";

/** Streams of one connection. */
const STREAMS = 100;

/** Opens a connection for Subscribe. @param {string} url */
export const openSubscribe = async (url) =>
  openFrames(url, pathOf("Subscribe"), {
    "content-type": "application/grpc+proto",
    te: "trailers",
  });

/**
 * A request to follow a group.
 *
 * @param {string} groupId
 * @param {number} [window]
 */
export const subscribeRequest = (groupId, window) =>
  envelope(
    toBinary(
      SubscribeRequestSchema,
      create(SubscribeRequestSchema, { streamName: STREAM, groupId, ...(window && { window }) }),
    ),
  );

/**
 * Follows a group once per listener. A listener receives everything after its snapshot.
 *
 * @param {{ url: string, groupId: string, onFailure: (error: Error) => void }} to
 * @param {readonly ((chunk: Buffer) => void)[]} listeners
 * @returns {Promise<() => void>} Ends all of them.
 */
export async function openSubscriptions({ url, groupId, onFailure }, listeners) {
  const body = subscribeRequest(groupId);
  const connections = await Promise.all(
    Array.from({ length: Math.ceil(listeners.length / STREAMS) }, async () => openSubscribe(url)),
  );
  await Promise.all(
    listeners.map(
      async (listener, i) =>
        new Promise((/** @type {(value?: undefined) => void} */ resolve, reject) => {
          /** @param {Error} error */
          const fail = (error) => {
            reject(error);
            onFailure(error);
          };
          /** @type {Buffer | undefined} The snapshot so far. */
          let head = Buffer.alloc(0);
          connections[i % connections.length]?.request(body, true, {
            onHeaders(block, isEnd) {
              if (isEnd || !isStatus200(block)) fail(new Error("a subscription ended"));
            },
            onData(bytes, isEnd) {
              if (isEnd) return fail(new Error("a subscription ended"));
              if (head === undefined) return listener(bytes);
              head = Buffer.concat([head, bytes]);
              const end = splitEnvelope(head, 0, head.byteLength);
              if (end < 0) return;
              const { frame } = fromBinary(SubscribeResponseSchema, head.subarray(5, end));
              if (frame.case !== "sync" || !frame.value.last)
                return fail(new Error(`${frame.case} instead of a short sync`));
              const rest = head.subarray(end);
              head = undefined;
              resolve();
              if (rest.byteLength > 0) listener(rest);
            },
            onFailure: fail,
          });
        }),
    ),
  );
  return () => {
    for (const connection of connections) connection.close();
  };
}
