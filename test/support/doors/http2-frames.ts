import { type Socket, connect } from "node:net";
import { once } from "node:events";
import { utf8 } from "../../wire/request/raw-wire.ts";

/** Types of frames (RFC 9113, section 6). */
export const FRAME = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
const PREFACE = utf8("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const PREFIX_BYTES = 9;
const MAX_PAYLOAD_BYTES = 16_384;
const END_STREAM = 1;
const END_HEADERS = 4;

/** A received frame. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** An HTTP/2 connection that sends arbitrary bytes. */
export interface FrameConnection {
  readonly socket: Socket;
  /** Every frame received so far. */
  readonly frames: readonly Frame[];
  /** Resolves when the peer has closed it. */
  readonly closed: Promise<void>;
}

/** Opens a connection, and sends the preface and empty settings. */
export async function openFrames(port: number): Promise<FrameConnection> {
  const socket = connect(port, "127.0.0.1");
  const frames: Frame[] = [];
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.byteLength >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + rest.readUIntBE(0, 3);
      if (rest.byteLength < end) break;
      const payload = rest.subarray(PREFIX_BYTES, end);
      frames.push({
        type: rest.readUInt8(3),
        flags: rest.readUInt8(4),
        stream: rest.readUInt32BE(5),
        payload,
      });
      rest = rest.subarray(end);
    }
  });
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => void socket.once("close", () => resolve()));
  await once(socket, "connect");
  socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, Buffer.alloc(0))]));
  return { socket, frames, closed };
}

/** Encodes a frame. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUIntBE(payload.byteLength, 0, 3);
  prefix.writeUInt8(type, 3);
  prefix.writeUInt8(flags, 4);
  prefix.writeUInt32BE(stream, 5);
  return Buffer.concat([prefix, payload]);
}

/** Encodes headers without compression: HPACK literals that are not indexed. */
export function headerBlock(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(
    headers.flatMap(([name, value]) => [Buffer.from([0]), hpackText(name), hpackText(value)]),
  );
}

/** A header block as the HEADERS frame of a request, followed by CONTINUATION frames as needed. */
export function headerFrames(block: Buffer, { isEnded = true } = {}): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < block.byteLength; at += MAX_PAYLOAD_BYTES) {
    const isFirst = at === 0;
    const isLast = at + MAX_PAYLOAD_BYTES >= block.byteLength;
    const flags = (isFirst ? END_STREAM : 0) | (isLast && isEnded ? END_HEADERS : 0);
    const payload = block.subarray(at, at + MAX_PAYLOAD_BYTES);
    frames.push(frame(isFirst ? FRAME.headers : FRAME.continuation, flags, 1, payload));
  }
  return Buffer.concat(frames);
}

function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([hpackLength(bytes.byteLength), bytes]);
}

/** An integer with a prefix of seven bits (RFC 7541, section 5.1). */
function hpackLength(length: number): Buffer {
  const limit = 127;
  if (length < limit) return Buffer.from([length]);
  const bytes = [limit];
  let rest = length - limit;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}
