import { randomBytes } from "node:crypto";
import { type Socket, connect as connectTcp } from "node:net";
import { onTestFinished } from "vitest";
import { within } from "./within.ts";

/** The opcodes of WebSocket frames (RFC 6455, section 5.2). */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** A connection that can break every rule of the WebSocket protocol. */
export interface RawLine {
  readonly socket: Socket;
  /**
   * Resolves with the code of the service's close frame; undefined when the connection closed
   * without one.
   */
  readonly closed: Promise<number | undefined>;
  /** Bytes received after the handshake. */
  readonly received: () => Buffer;
}

/** Opens a WebSocket by hand. */
export async function connectRaw(port: number, path = "/"): Promise<RawLine> {
  const socket = connectTcp(port, "127.0.0.1");
  onTestFinished(() => {
    socket.destroy();
  });
  socket.on("error", () => socket.destroy());
  let received = Buffer.alloc(0);
  let open = () => {};
  let close = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const ended = new Promise<void>((resolve) => (close = resolve));
  let isOpen = false;
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf("\r\n\r\n");
    if (!isOpen && end !== -1) {
      isOpen = true;
      received = received.subarray(end + 4);
      open();
    }
    if (isOpen && closeCode(received) !== undefined) close();
  });
  socket.on("close", close);
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
  );
  await within(Promise.race([opened, ended]), () => "the handshake");
  return {
    socket,
    get closed() {
      return within(ended, () => "the end of the connection").then(() => closeCode(received));
    },
    received: () => received,
  };
}

/** A frame of a client, masked with zeros. */
export function clientFrame(opcode: number, payload: Buffer, isLast = true): Buffer {
  const { length } = payload;
  const extended =
    length < 126 ? Buffer.alloc(0) : length < 65_536 ? Buffer.alloc(2) : Buffer.alloc(8);
  if (extended.length === 2) extended.writeUInt16BE(length);
  if (extended.length === 8) extended.writeBigUInt64BE(BigInt(length));
  const kind = length < 126 ? length : extended.length === 2 ? 126 : 127;
  const start = Buffer.from([(isLast ? 0x80 : 0) | opcode, 0x80 | kind]);
  return Buffer.concat([start, extended, Buffer.alloc(4), payload]);
}

/** A frame of the service. */
interface ServerFrame {
  readonly opcode: number;
  readonly isCompressed: boolean;
  readonly payload: Buffer;
}

/** The complete frames in bytes of the service. */
export function* serverFrames(bytes: Buffer): Generator<ServerFrame> {
  for (let at = 0; at + 2 <= bytes.length;) {
    const opcode = (bytes[at] ?? 0) & 0x0f;
    const isCompressed = ((bytes[at] ?? 0) & 0x40) !== 0;
    const kind = (bytes[at + 1] ?? 0) & 0x7f;
    const start = at + (kind < 126 ? 2 : kind === 126 ? 4 : 10);
    if (start > bytes.length) return;
    const length =
      kind < 126
        ? kind
        : kind === 126
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    at = start + length;
    if (at > bytes.length) return;
    yield { opcode, isCompressed, payload: bytes.subarray(start, at) };
  }
}

/** The code of the close frame in bytes of the service. */
function closeCode(bytes: Buffer): number | undefined {
  for (const { opcode, payload } of serverFrames(bytes)) {
    if (opcode === OPCODE.close) return payload.length < 2 ? 1005 : payload.readUInt16BE(0);
  }
  return undefined;
}
