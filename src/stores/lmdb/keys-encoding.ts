import { rememberedFrom, rememberedText } from "../../core/idempotency.ts";
import type { Remembered } from "../../core/idempotency-key.ts";
import { readSafeInteger, writeSafeInteger } from "./keys.ts";

/** The record of a group's idempotency keys as a whole. */
export interface KeysRecord {
  /** Number of the oldest key. */
  readonly first: number;
  /** Number of the next key; that of `first` while there is none. */
  readonly next: number;
  /** When the oldest was remembered, Unix milliseconds. */
  readonly oldestMs: number;
  /** When the newest was; later ones are not earlier, even if the clock goes back. */
  readonly newestMs: number;
}

/** The record of a group without idempotency keys. */
export const NO_KEYS: KeysRecord = Object.freeze({ first: 0, next: 0, oldestMs: 0, newestMs: 0 });

/** Four integers of eight bytes. */
export function encodeKeysRecord({ first, next, oldestMs, newestMs }: KeysRecord): Buffer {
  const bytes = Buffer.allocUnsafe(32);
  [first, next, oldestMs, newestMs].forEach((each, i) => writeSafeInteger(bytes, each, i * 8));
  return bytes;
}

/** Reads a record written by encodeKeysRecord. */
export function decodeKeysRecord(bytes: Buffer): KeysRecord {
  return {
    first: readSafeInteger(bytes, 0),
    next: readSafeInteger(bytes, 8),
    oldestMs: readSafeInteger(bytes, 16),
    newestMs: readSafeInteger(bytes, 24),
  };
}

/** An idempotency key, with what is remembered under it. */
export interface KeyRecord {
  /** See keyIdOf. */
  readonly id: string;
  /** When it was remembered, Unix milliseconds. */
  readonly timeMs: number;
  readonly remembered: Remembered;
}

const KEY_HEADER = 10;

/** Time (8 bytes), length of the id (2), the id, what is remembered. */
export function encodeKey({ id, timeMs, remembered }: KeyRecord): Buffer {
  const text = rememberedText(remembered);
  const idBytes = Buffer.byteLength(id);
  const bytes = Buffer.allocUnsafe(KEY_HEADER + idBytes + Buffer.byteLength(text));
  writeSafeInteger(bytes, timeMs, 0);
  bytes.writeUInt16BE(idBytes, 8);
  bytes.write(id, KEY_HEADER);
  bytes.write(text, KEY_HEADER + idBytes);
  return bytes;
}

/** Reads a key written by encodeKey. */
export function decodeKey(bytes: Buffer): KeyRecord {
  const idEnd = KEY_HEADER + bytes.readUInt16BE(8);
  return {
    id: bytes.toString("utf8", KEY_HEADER, idEnd),
    timeMs: readSafeInteger(bytes, 0),
    remembered: rememberedFrom(bytes.toString("utf8", idEnd)),
  };
}
