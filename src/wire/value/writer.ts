import { utf8Length } from "../../core/text.ts";
import type { Json } from "../../core/value.ts";
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
/** Longest string that is written one UTF-16 code unit at a time. */
const SHORT_TEXT = 48;

const utf8 = new TextEncoder();
const doubleBytes = new Uint8Array(8);
const doubleView = new DataView(doubleBytes.buffer);

/**
 * Encodes JSON as `google.protobuf.Value`, from the last byte to the first, so that every length
 * is known when it is written. Objects keep the order of their keys.
 */
export class ValueWriter {
  #out = new Uint8Array(INITIAL_BYTES);
  /** Start of the output, which extends to the end of the buffer. */
  #pos = INITIAL_BYTES;

  /**
   * Encodes a value and returns the result of `take`, which receives the range with its encoding.
   *
   * @param take Must not keep the buffer, which is reused.
   */
  write<T>(json: Json, take: (bytes: Uint8Array, start: number, end: number) => T): T {
    this.#pos = this.#out.length;
    this.#value(json);
    const taken = take(this.#out, this.#pos, this.#out.length);
    if (this.#out.length > KEPT_BYTES) this.#out = new Uint8Array(INITIAL_BYTES);
    return taken;
  }

  #value(json: Json): void {
    switch (typeof json) {
      case "string":
        this.#string(STRING, json);
        return;
      case "number":
        this.#number(json);
        return;
      case "boolean":
        this.#byte(json ? 1 : 0);
        this.#byte(BOOL);
        return;
      default:
        if (json === null) {
          this.#byte(0);
          this.#byte(NULL);
        } else if (Array.isArray(json)) this.#list(json as readonly Json[]);
        else this.#struct(json as Readonly<Record<string, Json>>);
    }
  }

  #struct(struct: Readonly<Record<string, Json>>): void {
    const end = this.#fromEnd();
    const keys = Object.keys(struct);
    for (let i = keys.length - 1; i >= 0; i--) {
      const key = keys[i] ?? "";
      const entryEnd = this.#fromEnd();
      this.#value(struct[key] ?? null);
      this.#head(ENTRY_VALUE, entryEnd);
      this.#string(ENTRY_KEY, key);
      this.#head(ENTRY, entryEnd);
    }
    this.#head(STRUCT, end);
  }

  #list(list: readonly Json[]): void {
    const end = this.#fromEnd();
    for (let i = list.length - 1; i >= 0; i--) {
      const elementEnd = this.#fromEnd();
      this.#value(list[i] ?? null);
      this.#head(ELEMENT, elementEnd);
    }
    this.#head(LIST, end);
  }

  #string(tag: number, text: string): void {
    const end = this.#fromEnd();
    if (!this.#ascii(text)) {
      const length = utf8Length(text);
      this.#reserve(length);
      utf8.encodeInto(text, this.#out.subarray(this.#pos - length, this.#pos));
      this.#pos -= length;
    }
    this.#head(tag, end);
  }

  /** Writes short ASCII text. @returns false, with nothing written, for any other. */
  #ascii(text: string): boolean {
    const { length } = text;
    if (length > SHORT_TEXT) return false;
    this.#reserve(length);
    const out = this.#out;
    const start = this.#pos - length;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      out[start + i] = unit;
    }
    this.#pos = start;
    return true;
  }

  #number(number: number): void {
    this.#reserve(9);
    doubleView.setFloat64(0, number, true);
    this.#pos -= 9;
    this.#out[this.#pos] = NUMBER;
    for (let i = 0; i < 8; i++) this.#out[this.#pos + 1 + i] = doubleBytes[i] ?? 0;
  }

  /** Writes the tag and length of what was written since `end`. */
  #head(tag: number, end: number): void {
    let length = this.#fromEnd() - end;
    this.#reserve(6);
    let size = 1;
    for (let rest = length; rest >= 0x80; rest >>>= 7) size++;
    this.#pos -= size + 1;
    let to = this.#pos;
    this.#out[to++] = tag;
    while (length >= 0x80) {
      this.#out[to++] = (length & 0x7f) | 0x80;
      length >>>= 7;
    }
    this.#out[to] = length;
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#out[--this.#pos] = byte;
  }

  /** Number of bytes written: a position that stays valid when the buffer grows. */
  #fromEnd(): number {
    return this.#out.length - this.#pos;
  }

  #reserve(count: number): void {
    if (this.#pos >= count) return;
    const written = this.#fromEnd();
    const larger = new Uint8Array(2 * this.#out.length + count);
    larger.set(this.#out.subarray(this.#pos), larger.length - written);
    this.#out = larger;
    this.#pos = larger.length - written;
  }
}
