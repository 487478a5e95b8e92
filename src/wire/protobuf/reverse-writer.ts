import { utf8Length } from "../../core/text.ts";
import { createSlab } from "./slab.ts";

const encoder = new TextEncoder();
/** Encoded messages are short-lived, so a slab may be large. */
const copy = createSlab(16 * 1024);
/** Longest message that shares a slab, in bytes. */
const MAX_SHARED = 1024;
const PREFIX_BYTES = 5;
const FIRST_BYTES = 4096;
/** Scratch space beyond this is released before the next message, in bytes. */
const MAX_KEPT_BYTES = 1024 * 1024;
const MAX_TAG_BYTES = 5;
const MAX_VARINT_BYTES = 10;
/** Longest text that is written one character at a time, if it is ASCII. */
const MAX_SHORT = 64;

/**
 * Writes protobuf messages back to front, last field first: the length of a nested message is known
 * when it has to be written, and nothing has to be measured or moved.
 *
 * One writer serves any number of messages, one at a time: `start`, fields, then `finishEnvelope`.
 */
export class ReverseWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #at = FIRST_BYTES;

  /** Begins a message. */
  start(): void {
    if (this.#bytes.length > MAX_KEPT_BYTES) this.#bytes = new Uint8Array(FIRST_BYTES);
    this.#at = this.#bytes.length;
  }

  /** Number of bytes written so far: a mark for `message`. */
  get end(): number {
    return this.#bytes.length - this.#at;
  }

  /** A varint field from 0 to 2^53-1; 0 is omitted, as in proto3. */
  integer(field: number, value: number): void {
    if (value === 0) return;
    this.#reserve(MAX_VARINT_BYTES + MAX_TAG_BYTES);
    this.#varint(value);
    this.#varint(field << 3);
  }

  /** A varint field of any unsigned 64-bit integer; 0 is omitted. */
  bigInteger(field: number, value: bigint): void {
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return this.integer(field, Number(value));
    this.#reserve(MAX_VARINT_BYTES + MAX_TAG_BYTES);
    const groups: number[] = [];
    for (let left = value; left > 0n; left >>= 7n) groups.push(Number(left & 0x7fn));
    for (let i = groups.length - 1; i >= 0; i--)
      this.#bytes[--this.#at] = (groups[i] as number) | (i === groups.length - 1 ? 0 : 0x80);
    this.#varint(field << 3);
  }

  /** A varint field of any integer within ±(2^53-1), with explicit presence. */
  signed(field: number, value: number): void {
    if (value < 0) return this.bigInteger(field, BigInt.asUintN(64, BigInt(value)));
    this.#reserve(MAX_VARINT_BYTES + MAX_TAG_BYTES);
    this.#varint(value);
    this.#varint(field << 3);
  }

  /** A bool field; false is omitted. */
  bool(field: number, value: boolean): void {
    if (value) this.integer(field, 1);
  }

  /** A string field; the empty string is omitted unless presence is explicit. */
  string(field: number, text: string, isExplicit = false): void {
    if (text === "" && !isExplicit) return;
    const before = this.end;
    if (text.length > MAX_SHORT || !this.#ascii(text)) {
      const length = utf8Length(text);
      this.#reserve(length);
      this.#at -= length;
      encoder.encodeInto(text, this.#bytes.subarray(this.#at, this.#at + length));
    }
    this.#delimit(field, this.end - before);
  }

  /** A field whose content is already encoded. */
  bytes(field: number, content: Uint8Array): void {
    this.#reserve(content.length);
    this.#at -= content.length;
    this.#bytes.set(content, this.#at);
    this.#delimit(field, content.length);
  }

  /** Whole fields that are already encoded. */
  raw(fields: Uint8Array): void {
    this.#reserve(fields.length);
    this.#at -= fields.length;
    this.#bytes.set(fields, this.#at);
  }

  /** Turns all that was written since a mark into a nested message. */
  message(field: number, since: number): void {
    this.#delimit(field, this.end - since);
  }

  /** A copy of the message. */
  finish(): Uint8Array {
    return this.#copy(this.#at);
  }

  /** A copy of the message with the prefix of gRPC and Connect streams. */
  finishEnvelope(): Uint8Array {
    const length = this.end;
    this.#reserve(PREFIX_BYTES);
    const start = this.#at - PREFIX_BYTES;
    const bytes = this.#bytes;
    bytes[start] = 0;
    bytes[start + 1] = length >>> 24;
    bytes[start + 2] = length >>> 16;
    bytes[start + 3] = length >>> 8;
    bytes[start + 4] = length;
    return this.#copy(start);
  }

  #copy(start: number): Uint8Array {
    const bytes = this.#bytes;
    const isShared = bytes.length - start <= MAX_SHARED + PREFIX_BYTES;
    return isShared ? copy(bytes, start, bytes.length) : bytes.slice(start);
  }

  #delimit(field: number, length: number): void {
    this.#reserve(MAX_VARINT_BYTES + MAX_TAG_BYTES);
    this.#varint(length);
    this.#varint((field << 3) | 2);
  }

  /** Writes the text if it is ASCII. @returns false, with nothing written, when it is not. */
  #ascii(text: string): boolean {
    const { length } = text;
    this.#reserve(length);
    const start = this.#at - length;
    const bytes = this.#bytes;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[start + i] = code;
    }
    this.#at = start;
    return true;
  }

  /** Writes an integer from 0 to 2^53-1 into reserved space. */
  #varint(value: number): void {
    const bytes = this.#bytes;
    if (value < 0x80) {
      bytes[--this.#at] = value;
      return;
    }
    let length = 1;
    for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) length++;
    let at = (this.#at -= length);
    let left = value;
    while (left >= 0x80) {
      bytes[at++] = (left % 0x80) | 0x80;
      left = Math.floor(left / 0x80);
    }
    bytes[at] = left;
  }

  /** Reserves space before the bytes written. */
  #reserve(length: number): void {
    if (this.#at >= length) return;
    const written = this.#bytes.subarray(this.#at);
    const size = Math.max(2 * this.#bytes.length, written.length + length + FIRST_BYTES);
    const larger = new Uint8Array(size);
    larger.set(written, size - written.length);
    this.#at = size - written.length;
    this.#bytes = larger;
  }
}
