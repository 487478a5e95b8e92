/* The ways to make a unary call: one small encoder for each protocol. */
import { connect } from "node:net";
import { envelope, splitEnvelope } from "./envelopes.mjs";
import { openFrames } from "./frame-connection.mjs";
import { isGrpcOk, isStatus200 } from "./header-block.mjs";

/**
 * @typedef {object} Lane A connection for calls of one method.
 * @property {(body: Buffer, done: Done) => void} call
 * @property {() => void} close
 *
 * @typedef {(error: Error | undefined, answer: Buffer) => void} Done Receives the bytes of the
 *   response,
 *   or an error.
 *
 * @typedef {object} Protocol
 * @property {(message: Uint8Array) => Buffer} encode The body of a request.
 * @property {(url: string, path: string) => Promise<Lane>} open
 * @property {number} callsPerLane Most calls under way on one connection.
 */

/** @type {Buffer} */
const NOTHING = Buffer.alloc(0);

/** @type {Readonly<Record<"grpc" | "connect" | "connect-http1", Protocol>>} */
export const PROTOCOLS = {
  grpc: {
    encode: envelope,
    open: async (url, path) =>
      openHttp2(url, path, { "content-type": "application/grpc+proto", te: "trailers" }, true),
    callsPerLane: 100,
  },
  connect: {
    encode: (message) => Buffer.from(message),
    open: async (url, path) =>
      openHttp2(
        url,
        path,
        { "content-type": "application/proto", "connect-protocol-version": "1" },
        false,
      ),
    callsPerLane: 100,
  },
  "connect-http1": {
    encode: (message) => Buffer.from(message),
    open: openHttp1,
    callsPerLane: 1,
  },
};

/**
 * @param {string} url
 * @param {string} path
 * @param {Readonly<Record<string, string>>} headers
 * @param {boolean} isGrpc
 * @returns {Promise<Lane>}
 */
async function openHttp2(url, path, headers, isGrpc) {
  const connection = await openFrames(url, path, headers);
  return {
    close: () => connection.close(),
    call(body, done) {
      let answer = NOTHING;
      let isOk = false;
      let blocks = 0;
      const end = () => {
        // A gRPC response ends with trailers; headers alone are an error.
        if (!isOk || (isGrpc && blocks !== 2)) return done(new Error("a failure status"), answer);
        const isWhole =
          !isGrpc || splitEnvelope(answer, 0, answer.byteLength) === answer.byteLength;
        done(isWhole ? undefined : new Error("the response is no envelope"), answer);
      };
      connection.request(body, true, {
        onHeaders(block, isEnd) {
          isOk = ++blocks === 1 ? isStatus200(block) : isOk && isGrpcOk(block);
          if (isEnd) end();
        },
        onData(bytes, isEnd) {
          answer = Buffer.concat([answer, bytes]);
          if (isEnd) end();
        },
        onFailure: (error) => done(error, NOTHING),
      });
    },
  };
}

const HEAD_END = Buffer.from("\r\n\r\n");

/** @param {string} url @param {string} path @returns {Promise<Lane>} */
async function openHttp1(url, path) {
  const { host, hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  socket.setNoDelay(true);
  /** @type {Done | undefined} */
  let waiting;
  /** @type {Buffer} */
  let rest = NOTHING;
  /** @param {Error | undefined} error @param {Buffer} [answer] */
  const finish = (error, answer = NOTHING) => {
    const done = waiting;
    waiting = undefined;
    rest = NOTHING;
    done?.(error, answer);
  };
  socket.on("error", (error) => finish(error));
  socket.on("close", () => finish(new Error("the server closed the connection")));
  socket.on("data", (/** @type {Buffer} */ chunk) => {
    rest = rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]);
    const headEnd = rest.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = rest.toString("latin1", 0, headEnd).toLowerCase();
    if (!head.startsWith("http/1.1 200 ")) return finish(new Error(head.split("\r\n", 1)[0]));
    const body = rest.subarray(headEnd + HEAD_END.byteLength);
    const answer = bodyOf(head, body);
    if (answer !== undefined) finish(undefined, answer);
  });
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: ${host}`,
    "Content-Type: application/proto",
    "Connect-Protocol-Version: 1",
    "Content-Length: ",
  ].join("\r\n");
  return {
    close: () => socket.destroy(),
    call(body, done) {
      waiting = done;
      socket.write(Buffer.concat([Buffer.from(`${head}${body.byteLength}\r\n\r\n`), body]));
    },
  };
}

/**
 * A whole body; undefined when some of it is missing.
 *
 * @param {string} head
 * @param {Buffer} bytes
 */
function bodyOf(head, bytes) {
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  if (length !== undefined)
    return bytes.byteLength < Number(length) ? undefined : bytes.subarray(0, Number(length));
  const parts = [];
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const end = lineEnd + 2 + size;
    if (bytes.byteLength < end + 2) return undefined;
    if (size === 0) return Buffer.concat(parts);
    parts.push(bytes.subarray(lineEnd + 2, end));
    at = end + 2;
  }
}
