/* HTTP/2 (RFC 9113) as cheap as it gets, for a client that must not be what is measured. */
import { headerBlocks } from "./header-block.mjs";
import { openSocket } from "./socket.mjs";

const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const WINDOW_UPDATE = 8;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const PADDED_OR_PRIORITY = 0x28;
const HEADER_BYTES = 9;
const MAX_FRAME = 16_384;
const MAX_WINDOW = 2 ** 31 - 1;
const FIRST_WINDOW = 65_535;
/** Received bytes after which the window of the connection is reopened. */
const REFILL_BYTES = 64 * 1024 * 1024;
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/**
 * No dynamic table for response headers, no pushes, and stream windows that are never exhausted.
 */
const OUR_SETTINGS = [
  [1, 0],
  [2, 0],
  [4, MAX_WINDOW],
];

/**
 * @typedef {object} Listener Receives the frames of a stream. Buffers are only valid during the
 *   call.
 * @property {(block: Buffer, isEnd: boolean) => void} onHeaders Headers or trailers, encoded.
 * @property {(bytes: Buffer, isEnd: boolean) => void} onData
 * @property {(error: Error) => void} onFailure
 *
 * @typedef {object} Waiting Bytes that wait for the server's flow control.
 * @property {number} id
 * @property {Buffer} bytes
 * @property {boolean} isEnd
 */

/** A connection whose requests all have the same headers. */
class FrameConnection {
  /** Called once when the connection fails. */
  onFailure = (/** @type {Error} */ _error) => {};
  #socket;
  #blocks;
  #isFirst = true;
  #nextId = 1;
  /** @type {Map<number, Listener>} */
  #streams = new Map();
  /** @type {Buffer} */
  #rest = Buffer.alloc(0);
  /** @type {Buffer[]} */
  #out = [];
  #isFlushing = false;
  #received = 0;
  #window = FIRST_WINDOW;
  #streamWindow = FIRST_WINDOW;
  /** @type {Map<number, number>} Bytes sent on open streams, less their window updates. */
  #sent = new Map();
  /** @type {Waiting[]} */
  #waiting = [];

  /** @param {import("node:net").Socket} socket @param {Readonly<Record<string, string>>} headers */
  constructor(socket, headers) {
    this.#socket = socket;
    this.#blocks = headerBlocks(headers);
    const settings = Buffer.alloc(OUR_SETTINGS.length * 6);
    for (const [i, [id = 0, value = 0]] of OUR_SETTINGS.entries()) {
      settings.writeUInt16BE(id, i * 6);
      settings.writeUInt32BE(value, i * 6 + 2);
    }
    this.#put(PREFACE);
    this.#put(frame(SETTINGS, 0, 0, settings));
    this.#put(frame(WINDOW_UPDATE, 0, 0, number(MAX_WINDOW - FIRST_WINDOW)));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server closed the connection")));
  }

  /**
   * Sends a request.
   *
   * @param {Buffer | undefined} body
   * @param {boolean} isEnd Whether nothing follows the body.
   * @param {Listener} listener
   * @returns {number} Id of the stream.
   */
  request(body, isEnd, listener) {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, listener);
    const { first, later } = this.#blocks;
    const flags = END_HEADERS | (body === undefined && isEnd ? END_STREAM : 0);
    this.#put(frame(HEADERS, flags, id, this.#isFirst ? first : later));
    this.#isFirst = false;
    if (body !== undefined) this.write(id, body, isEnd);
    return id;
  }

  /**
   * Sends more of a request's body.
   *
   * @param {number} id
   * @param {Buffer} bytes
   * @param {boolean} isEnd
   */
  write(id, bytes, isEnd) {
    this.#waiting.push({ id, bytes, isEnd });
    this.#drain();
  }

  /** Gives a stream up. @param {number} id */
  cancel(id) {
    this.#forget(id);
    this.#put(frame(RST_STREAM, 0, id, number(8)));
  }

  /** Closes the connection. */
  close() {
    this.onFailure = () => {};
    this.#streams.clear();
    this.#socket.destroy();
  }

  #drain() {
    let first = this.#waiting[0];
    while (first !== undefined) {
      const { id, bytes, isEnd } = first;
      const ofStream = this.#streamWindow - (this.#sent.get(id) ?? 0);
      const room = Math.min(this.#window, ofStream, MAX_FRAME);
      if (room <= 0 && bytes.byteLength > 0) return;
      const part = bytes.byteLength <= room ? bytes : bytes.subarray(0, room);
      const isLast = part.byteLength === bytes.byteLength;
      const sent = this.#sent.get(id) ?? 0;
      this.#window -= part.byteLength;
      if (!(isLast && isEnd)) this.#sent.set(id, sent + part.byteLength);
      this.#put(frame(DATA, isLast && isEnd ? END_STREAM : 0, id, part));
      if (isLast) this.#waiting.shift();
      else first.bytes = bytes.subarray(room);
      first = this.#waiting[0];
    }
  }

  /** Sends with what else is sent in this turn. @param {Buffer} bytes */
  #put(bytes) {
    this.#out.push(bytes);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => {
      this.#isFlushing = false;
      const [only] = this.#out;
      if (only === undefined) return;
      this.#socket.write(this.#out.length === 1 ? only : Buffer.concat(this.#out));
      this.#out = [];
    });
  }

  /** Takes what the socket reads. @param {Buffer} chunk */
  take(chunk) {
    const bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    try {
      while (bytes.byteLength - at >= HEADER_BYTES) {
        const length = bytes.readUIntBE(at, 3);
        const end = at + HEADER_BYTES + length;
        if (bytes.byteLength < end) break;
        const id = bytes.readUInt32BE(at + 5) & MAX_WINDOW;
        const payload = bytes.subarray(at + HEADER_BYTES, end);
        this.#receive(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, id, payload);
        at = end;
      }
    } catch (error) {
      return this.#fail(/** @type {Error} */ (error));
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    if (this.#received < REFILL_BYTES) return;
    this.#put(frame(WINDOW_UPDATE, 0, 0, number(this.#received)));
    this.#received = 0;
  }

  /** @param {number} type @param {number} flags @param {number} id @param {Buffer} payload */
  #receive(type, flags, id, payload) {
    switch (type) {
      case DATA:
      case HEADERS: {
        const isEnd = (flags & END_STREAM) !== 0;
        if ((flags & PADDED_OR_PRIORITY) !== 0 || (type === HEADERS && !(flags & END_HEADERS)))
          throw new Error("a frame of a form that this client does not support");
        // Only DATA counts (RFC 9113, 5.2): a window that grows by more than was used would
        // overflow.
        if (type === DATA) this.#received += payload.byteLength;
        const listener = this.#streams.get(id);
        if (isEnd) this.#forget(id);
        if (type === DATA) listener?.onData(payload, isEnd);
        else listener?.onHeaders(payload, isEnd);
        return;
      }
      case RST_STREAM: {
        const listener = this.#streams.get(id);
        this.#forget(id);
        listener?.onFailure(new Error(`the server reset a stream (${payload.readUInt32BE(0)})`));
        return;
      }
      case SETTINGS:
        if ((flags & ACK) !== 0) return;
        for (let i = 0; i + 6 <= payload.byteLength; i += 6)
          if (payload.readUInt16BE(i) === 4) this.#streamWindow = payload.readUInt32BE(i + 2);
        this.#put(frame(SETTINGS, ACK, 0, Buffer.alloc(0)));
        return this.#drain();
      case PING:
        if ((flags & ACK) === 0) this.#put(frame(PING, ACK, 0, Buffer.from(payload)));
        return;
      case GOAWAY:
        throw new Error("the server sent GOAWAY");
      case WINDOW_UPDATE: {
        const more = payload.readUInt32BE(0);
        if (id === 0) this.#window += more;
        else if (this.#sent.has(id)) this.#sent.set(id, (this.#sent.get(id) ?? 0) - more);
        return this.#drain();
      }
      default:
    }
  }

  /** @param {number} id */
  #forget(id) {
    this.#streams.delete(id);
    this.#sent.delete(id);
  }

  /** @param {Error} error */
  #fail(error) {
    const listeners = Array.from(this.#streams.values());
    this.#streams.clear();
    for (const listener of listeners) listener.onFailure(error);
    this.onFailure(error);
    this.onFailure = () => {};
    this.#socket.destroy();
  }
}

/**
 * Opens a connection.
 *
 * @param {string} url
 * @param {string} path
 * @param {Readonly<Record<string, string>>} headers
 * @returns {Promise<FrameConnection>}
 */
export async function openFrames(url, path, headers) {
  /** @type {(chunk: Buffer) => void} */
  let take = () => {};
  const socket = await openSocket(url, (chunk) => take(chunk));
  const { host } = new URL(url);
  const connection = new FrameConnection(socket, {
    ":path": path,
    ":authority": host,
    ...headers,
  });
  take = (chunk) => connection.take(chunk);
  return connection;
}

/** @param {number} type @param {number} flags @param {number} id @param {Buffer} payload */
function frame(type, flags, id, payload) {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.byteLength);
  bytes.writeUIntBE(payload.byteLength, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id, 5);
  payload.copy(bytes, HEADER_BYTES);
  return bytes;
}

/** @param {number} value */
function number(value) {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
