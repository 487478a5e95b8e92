const FINAL_TEXT = 0x81;
/** Set in the first byte of a compressed message (RFC 7692, 6). */
const COMPRESSED = 0x40;
const MAX_SHORT_BYTES = 125;
const LENGTH_IN_2_BYTES = 126;
const LENGTH_IN_8_BYTES = 127;

/**
 * A text as a whole WebSocket frame of a server (RFC 6455, 5.2), with its header: a frame for many
 * sockets is built once.
 *
 * @param parts The text in pieces; buffers hold UTF-8.
 */
export function textFrame(parts: readonly (string | Buffer)[]): Buffer {
  let bytes = 0;
  for (const part of parts) bytes += Buffer.byteLength(part);
  const headerBytes = bytes <= MAX_SHORT_BYTES ? 2 : bytes <= 0xffff ? 4 : 10;
  // Not from the buffer pool: the frame would keep the pool's whole slab in memory.
  const frame = Buffer.allocUnsafeSlow(headerBytes + bytes);
  frame[0] = FINAL_TEXT;
  if (headerBytes === 2) frame[1] = bytes;
  else if (headerBytes === 4) {
    frame[1] = LENGTH_IN_2_BYTES;
    frame.writeUInt16BE(bytes, 2);
  } else {
    frame[1] = LENGTH_IN_8_BYTES;
    frame.writeBigUInt64BE(BigInt(bytes), 2);
  }
  let at = headerBytes;
  for (const part of parts)
    at += typeof part === "string" ? frame.write(part, at) : part.copy(frame, at);
  return frame;
}

/** The content of a frame, as UTF-8. */
export function contentOf(frame: Buffer): Buffer {
  const length = frame[1] as number;
  if (length <= MAX_SHORT_BYTES) return frame.subarray(2);
  return frame.subarray(length === LENGTH_IN_2_BYTES ? 4 : 10);
}

/** A compressed text as a whole WebSocket frame. */
export function compressedFrame(deflated: Buffer): Buffer {
  const frame = textFrame([deflated]);
  frame[0] = FINAL_TEXT | COMPRESSED;
  return frame;
}
