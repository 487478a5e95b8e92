import { MAX_VALUE_BYTES, MAX_VALUE_DEPTH } from "../../core/value.ts";
import { decodeText, readDouble } from "../protobuf/reader.ts";
import {
  BOOL,
  ELEMENT,
  ENTRY,
  ENTRY_KEY,
  ENTRY_VALUE,
  LIST,
  NULL,
  NUMBER,
  STRING,
  STRUCT,
} from "./tags.ts";

const INITIAL_BYTES = 4096;
/** Scratch space beyond this is released after use, in bytes. */
const KEPT_BYTES = 64 * 1024;
/** Most keys of an object that are compared to find duplicates; beyond them it takes a set. */
const MAX_COMPARED_KEYS = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const HEX = new TextEncoder().encode("0123456789abcdef");
/** The letter after the backslash for control characters that have a short escape, else 0. */
const SHORT_ESCAPE = [0, 0, 0, 0, 0, 0, 0, 0, 0x62, 0x74, 0x6e, 0, 0x66, 0x72];

const NOTHING = new Uint8Array(0);

/** `__proto__` in bytes. */
const PROTO = new TextEncoder().encode("__proto__");

/**
 * Turns an encoded `google.protobuf.Value` into JSON text without building the value in between.
 *
 * It reads only what encoders write: every field once, the key of an entry before its value, the
 * shortest lengths, distinct keys, no unknown fields, and values within the limits. For anything
 * else it gives up, and the slower general reader decides.
 */
export class CanonicalReader {
  #bytes: Uint8Array = NOTHING;
  /** Start of the element whose length was read last. */
  #at = 0;
  #out = new Uint8Array(INITIAL_BYTES);
  #length = 0;
  /** Start and end of each key of the open objects. */
  readonly #keys: number[] = [];
  #keysLength = 0;

  /** Length of the text that was read last, in bytes of UTF-8. */
  get textBytes(): number {
    return this.#length;
  }

  /** JSON text of the value in the range; undefined when it is not canonical or not valid. */
  text(bytes: Uint8Array, start: number, end: number): string | undefined {
    if (end - start > MAX_VALUE_BYTES) return undefined;
    // An encoded byte becomes at most the 6 bytes of an escape, so the buffer suffices.
    const most = 6 * (end - start);
    if (most > this.#out.length) this.#out = new Uint8Array(most);
    this.#bytes = bytes;
    this.#length = 0;
    this.#keysLength = 0;
    const whole = this.#value(start, end, 0) && this.#length <= MAX_VALUE_BYTES;
    // One check for all strings: the separators are ASCII, so the whole is UTF-8 if each string is.
    const text = whole ? decodeText(this.#out, 0, this.#length) : undefined;
    this.#bytes = NOTHING;
    if (this.#out.length > KEPT_BYTES) this.#out = new Uint8Array(INITIAL_BYTES);
    return text;
  }

  #value(start: number, end: number, depth: number): boolean {
    const bytes = this.#bytes;
    if (start >= end) return false;
    switch (bytes[start]) {
      case NULL:
        return end === start + 2 && bytes[start + 1] === 0 && this.#ascii("null");
      case BOOL: {
        const flag = bytes[start + 1];
        return (
          end === start + 2 &&
          (flag === 1 ? this.#ascii("true") : flag === 0 && this.#ascii("false"))
        );
      }
      case NUMBER:
        return end === start + 9 && this.#number(readDouble(bytes, start + 1));
      case STRING:
        return this.#lengthAt(start + 1, end) === end && this.#string(this.#at, end);
      case STRUCT:
        return (
          depth < MAX_VALUE_DEPTH &&
          this.#lengthAt(start + 1, end) === end &&
          this.#struct(this.#at, end, depth + 1)
        );
      case LIST:
        return (
          depth < MAX_VALUE_DEPTH &&
          this.#lengthAt(start + 1, end) === end &&
          this.#list(this.#at, end, depth + 1)
        );
      default:
        return false;
    }
  }

  #struct(start: number, end: number, depth: number): boolean {
    const bytes = this.#bytes;
    const firstKey = this.#keysLength;
    let seen: Set<string> | undefined;
    this.#byte(0x7b);
    for (let pos = start; pos < end;) {
      if (bytes[pos] !== ENTRY) return false;
      const entryEnd = this.#lengthAt(pos + 1, end);
      const keyTag = this.#at;
      if (entryEnd < 0 || bytes[keyTag] !== ENTRY_KEY) return false;
      const keyEnd = this.#lengthAt(keyTag + 1, entryEnd);
      const key = this.#at;
      if (keyEnd < 0 || this.#isProto(key, keyEnd)) return false;
      if (this.#keysLength - firstKey < 2 * MAX_COMPARED_KEYS) {
        if (!this.#addKey(firstKey, key, keyEnd)) return false;
      } else {
        seen ??= this.#keySet(firstKey);
        const text = decodeText(bytes, key, keyEnd);
        if (text === undefined || seen.size === seen.add(text).size) return false;
      }
      if (keyEnd >= entryEnd || bytes[keyEnd] !== ENTRY_VALUE) return false;
      if (this.#lengthAt(keyEnd + 1, entryEnd) !== entryEnd) return false;
      const value = this.#at;
      if (pos !== start) this.#byte(0x2c);
      if (!this.#string(key, keyEnd)) return false;
      this.#byte(0x3a);
      if (!this.#value(value, entryEnd, depth)) return false;
      pos = entryEnd;
    }
    this.#keysLength = firstKey;
    return this.#byte(0x7d);
  }

  #list(start: number, end: number, depth: number): boolean {
    const bytes = this.#bytes;
    this.#byte(0x5b);
    for (let pos = start; pos < end;) {
      if (bytes[pos] !== ELEMENT) return false;
      const elementEnd = this.#lengthAt(pos + 1, end);
      if (elementEnd < 0) return false;
      if (pos !== start) this.#byte(0x2c);
      if (!this.#value(this.#at, elementEnd, depth)) return false;
      pos = elementEnd;
    }
    return this.#byte(0x5d);
  }

  /**
   * Reads a length in its shortest form. Returns the end of its element, or -1; sets `#at` to its
   * start.
   */
  #lengthAt(start: number, end: number): number {
    const bytes = this.#bytes;
    let pos = start;
    let length = 0;
    // Values are at most 1 MiB: three bytes are enough.
    for (let shift = 0; shift < 21; shift += 7) {
      if (pos >= end) return -1;
      const byte = bytes[pos++] ?? 0;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#at = pos;
        const elementEnd = pos + length;
        return elementEnd > end || (byte === 0 && shift > 0) ? -1 : elementEnd;
      }
    }
    return -1;
  }

  #addKey(firstKey: number, start: number, end: number): boolean {
    const keys = this.#keys;
    const bytes = this.#bytes;
    const length = end - start;
    for (let i = firstKey; i < this.#keysLength; i += 2) {
      const other = keys[i] ?? 0;
      if ((keys[i + 1] ?? 0) - other !== length) continue;
      let same = 0;
      while (same < length && bytes[start + same] === bytes[other + same]) same++;
      if (same === length) return false;
    }
    keys[this.#keysLength++] = start;
    keys[this.#keysLength++] = end;
    return true;
  }

  #keySet(firstKey: number): Set<string> {
    const seen = new Set<string>();
    for (let i = firstKey; i < this.#keysLength; i += 2) {
      // A key that is not UTF-8 is refused when the whole text is decoded.
      seen.add(decodeText(this.#bytes, this.#keys[i] ?? 0, this.#keys[i + 1] ?? 0) ?? "");
    }
    return seen;
  }

  #isProto(start: number, end: number): boolean {
    if (end - start !== PROTO.length) return false;
    return PROTO.every((letter, i) => this.#bytes[start + i] === letter);
  }

  #string(start: number, end: number): boolean {
    const bytes = this.#bytes;
    const out = this.#out;
    let to = this.#length;
    out[to++] = QUOTE;
    for (let pos = start; pos < end; pos++) {
      const byte = bytes[pos] ?? 0;
      if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) out[to++] = byte;
      else to = escape(out, to, byte);
    }
    out[to++] = QUOTE;
    this.#length = to;
    return true;
  }

  #number(number: number): boolean {
    if (!Number.isFinite(number)) return false;
    if (number < 0 || number > 999_999 || !Number.isInteger(number))
      return this.#ascii(String(number));
    let digits = 1;
    for (let most = 10; number >= most; most *= 10) digits++;
    let rest = number;
    for (let to = this.#length + digits - 1; to >= this.#length; to--) {
      const tenth = Math.trunc(rest / 10);
      this.#out[to] = ZERO + (rest - tenth * 10);
      rest = tenth;
    }
    this.#length += digits;
    return true;
  }

  #ascii(text: string): boolean {
    for (let i = 0; i < text.length; i++) this.#out[this.#length++] = text.charCodeAt(i);
    return true;
  }

  #byte(byte: number): boolean {
    this.#out[this.#length++] = byte;
    return true;
  }
}

/** Writes the escape of a quote, a backslash or a control character as JSON.stringify does. */
function escape(out: Uint8Array, start: number, byte: number): number {
  let to = start;
  out[to++] = BACKSLASH;
  const letter = byte < 0x20 ? SHORT_ESCAPE[byte] : byte;
  if (letter !== undefined && letter !== 0) {
    out[to++] = letter;
    return to;
  }
  out[to++] = 0x75;
  out[to++] = ZERO;
  out[to++] = ZERO;
  out[to++] = HEX[byte >> 4] ?? 0;
  out[to++] = HEX[byte & 0x0f] ?? 0;
  return to;
}
