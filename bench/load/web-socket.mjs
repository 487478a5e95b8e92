/* WebSockets (RFC 6455) as cheap as it gets. */
import { openSocket } from "./socket.mjs";

const TEXT = 1;
const CLOSE = 8;

/**
 * End of a server's frame at an offset; -1 if it is incomplete. @type
 * {import("./chorus.mjs").Splitter}
 */
export function splitFrame(bytes, at, end) {
  if (end - at < 2) return -1;
  const short = (bytes[at + 1] ?? 0) & 0x7f;
  const head = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (end - at < head) return -1;
  const length = lengthAt(bytes, at, short);
  return end - at < head + length ? -1 : at + head + length;
}

/** @param {Buffer} bytes @param {number} at @param {number} short */
function lengthAt(bytes, at, short) {
  if (short < 126) return short;
  return short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
}

/** Payload of a whole frame. @param {Buffer} frame */
export function payloadOf(frame) {
  const short = (frame[1] ?? 0) & 0x7f;
  return frame.subarray(short < 126 ? 2 : short === 126 ? 4 : 10);
}

/** A text frame of a client, whose mask changes nothing. @param {string} text */
export function textFrame(text) {
  const payload = Buffer.from(text);
  const { byteLength: length } = payload;
  const head =
    length < 126 ? [0x80 | TEXT, 0x80 | length] : [0x80 | TEXT, 0xfe, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
}

/**
 * Opens a socket. Passes each frame to `isReady` until that returns true, and all later bytes to
 * `onBytes`.
 *
 * @param {object} options
 * @param {string} options.url
 * @param {string} options.path
 * @param {((payload: Buffer, socket: import("node:net").Socket) => boolean) | undefined}
 *   [options.isReady] Unless
 *   given, it is ready when it is open.
 * @param {(chunk: Buffer) => void} options.onBytes
 * @param {(error: Error) => void} options.onFailure
 * @returns {Promise<import("node:net").Socket>} When it is ready.
 */
export async function openWebSocket({ url, path, isReady, onBytes, onFailure }) {
  const { host } = new URL(url);
  /** @type {(chunk: Buffer) => void} */
  let take = () => {};
  const socket = await openSocket(url, (chunk) => take(chunk));
  socket.on("error", onFailure);
  socket.write(
    [
      `GET ${path} HTTP/1.1`,
      `Host: ${host}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "\r\n",
    ].join("\r\n"),
  );
  return new Promise((resolve, reject) => {
    /** @type {Buffer} */
    let rest = Buffer.alloc(0);
    let isOpen = false;
    take = (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      if (!isOpen) {
        const headEnd = rest.indexOf("\r\n\r\n");
        if (headEnd < 0) return;
        const head = rest.toString("latin1", 0, headEnd);
        if (!head.startsWith("HTTP/1.1 101 "))
          return reject(new Error(`no WebSocket: ${head.split("\r\n", 1)[0]}`));
        isOpen = true;
        rest = rest.subarray(headEnd + 4);
      }
      let ready = isReady === undefined;
      while (!ready) {
        const end = splitFrame(rest, 0, rest.byteLength);
        if (end < 0) return;
        const frame = rest.subarray(0, end);
        rest = rest.subarray(end);
        if (((frame[0] ?? 0) & 0x0f) === CLOSE) return reject(new Error("the socket was closed"));
        try {
          ready = isReady?.(payloadOf(frame), socket) ?? true;
        } catch (error) {
          return reject(error);
        }
      }
      take = onBytes;
      socket.on("close", () => onFailure(new Error("the server closed a socket")));
      resolve(socket);
      if (rest.byteLength > 0) onBytes(rest);
    };
    socket.once("close", () => reject(new Error("the server closed the socket at once")));
  });
}

/**
 * How to join each kind of server: the path (default: that of a group), and the frames before it is
 * ready.
 *
 * @type {Readonly<Record<"bridge" | "ws" | "socket.io", { path?: string } &
 *   Pick<Parameters<typeof openWebSocket>[0], "isReady">>>}
 */
export const GREETINGS = {
  bridge: {
    isReady(payload) {
      if (!payload.includes('"type":"sync"')) throw new Error(`${String(payload)} is no sync`);
      return true;
    },
  },
  ws: { path: "/" },
  "socket.io": {
    path: "/socket.io/?EIO=4&transport=websocket",
    isReady(payload, socket) {
      const text = String(payload);
      if (text.startsWith("0")) socket.write(textFrame("40"));
      return text.startsWith("40");
    },
  },
};
