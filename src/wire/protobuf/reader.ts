/** Thrown for bytes that violate the protobuf wire format. Never leaves the decoders. */
export class WireFault extends Error {}

/** The bytes of one message. When it was sent in pieces, `more` has the later ones, in order. */
export interface ByteRanges {
  readonly start: number;
  readonly end: number;
  readonly more: readonly { readonly start: number; readonly end: number }[] | undefined;
}

/** Most levels of nested unknown groups that are skipped; known messages have no groups. */
const MAX_GROUP_DEPTH = 100;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const doubleBytes = new Uint8Array(8);
const doubleView = new DataView(doubleBytes.buffer);

/** Longest string for which reading byte by byte beats calling a TextDecoder. */
const SHORT_TEXT = 24;

/** Reads protobuf wire format from a range of bytes. A read beyond the range throws WireFault. */
export class Cursor {
  readonly bytes: Uint8Array;
  pos: number;
  /** End of the range being read. */
  end: number;

  constructor(bytes: Uint8Array, pos = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = pos;
    this.end = end;
  }

  /** A field number and wire type as `number << 3 | wireType`. */
  tag(): number {
    const tag = this.uint32();
    if (tag >>> 3 === 0 || (tag & 7) > 5) throw new WireFault();
    return tag;
  }

  /** A varint that must fit in 32 bits: a tag or a length. */
  uint32(): number {
    const { bytes, end } = this;
    let pos = this.pos;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (pos >= end) throw new WireFault();
      const byte = bytes[pos++] ?? 0;
      // The fifth byte carries bits 28 to 31 only.
      if (shift === 28 && byte > 0x0f) throw new WireFault();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.pos = pos;
        return value >>> 0;
      }
    }
    throw new WireFault();
  }

  /** Reads a length and returns the end of its element, which is within the range. */
  delimited(): number {
    const length = this.uint32();
    const end = this.pos + length;
    if (end > this.end) throw new WireFault();
    return end;
  }

  /** A varint truncated to its low 32 bits, as int32 and enums are. */
  int32(): number {
    const { low } = this.#varint();
    return low | 0;
  }

  bool(): boolean {
    const { low, high } = this.#varint();
    return (low | high) !== 0;
  }

  /** An unsigned 64-bit varint; undefined when it is over 2^53-1. */
  uint64(): number | undefined {
    const { low, high } = this.#varint();
    return high > 0x1fffff ? undefined : high * 0x1_0000_0000 + low;
  }

  /** Any unsigned 64-bit varint: a bigint when it is over 2^53-1. */
  id(): number | bigint {
    const { low, high } = this.#varint();
    return high > 0x1fffff ? (BigInt(high) << 32n) | BigInt(low) : high * 0x1_0000_0000 + low;
  }

  /** A signed 64-bit varint; undefined when it is outside ±(2^53-1). */
  int64(): number | undefined {
    const { low, high } = this.#varint();
    const value = (high | 0) * 0x1_0000_0000 + low;
    return Number.isSafeInteger(value) ? value : undefined;
  }

  double(): number {
    const { pos } = this;
    this.#forward(8);
    return readDouble(this.bytes, pos);
  }

  /** A length and text; undefined when the bytes are not UTF-8. */
  string(): string | undefined {
    const end = this.delimited();
    const start = this.pos;
    this.pos = end;
    return decodeText(this.bytes, start, end);
  }

  /** Skips the element that follows the tag. */
  skip(tag: number): void {
    const open: number[] = [];
    for (let next = tag; ; next = this.tag()) {
      const number = next >>> 3;
      switch (next & 7) {
        case 0:
          this.#varint();
          break;
        case 1:
          this.#forward(8);
          break;
        case 2:
          this.pos = this.delimited();
          break;
        case 3:
          if (open.push(number) > MAX_GROUP_DEPTH) throw new WireFault();
          break;
        case 4:
          if (open.pop() !== number) throw new WireFault();
          break;
        default:
          this.#forward(4);
      }
      if (open.length === 0) return;
    }
  }

  #forward(length: number): void {
    if (this.pos + length > this.end) throw new WireFault();
    this.pos += length;
  }

  /** A 64-bit varint as two unsigned halves. */
  #varint(): { low: number; high: number } {
    const { bytes, end } = this;
    let pos = this.pos;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (pos >= end) throw new WireFault();
      const byte = bytes[pos++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (shift - 32);
      if (byte < 0x80) {
        this.pos = pos;
        return { low: low >>> 0, high: high >>> 0 };
      }
    }
    throw new WireFault();
  }
}

/** Reads the double in 8 bytes, which must exist. */
export function readDouble(bytes: Uint8Array, start: number): number {
  for (let i = 0; i < 8; i++) doubleBytes[i] = bytes[start + i] ?? 0;
  return doubleView.getFloat64(0, true);
}

/** Decodes UTF-8; undefined when the bytes are not UTF-8. A leading U+FEFF is kept. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start;
  if (length <= SHORT_TEXT) {
    const units = new Array<number>(length);
    let all = 0;
    for (let i = 0; i < length; i++) {
      const byte = bytes[start + i] ?? 0;
      all |= byte;
      units[i] = byte;
    }
    if (all < 0x80) return String.fromCharCode(...units);
  }
  try {
    return utf8.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}
