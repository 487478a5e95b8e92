import type { Remembered } from "../../core/idempotency-key.ts";
import { NO_AUTHOR } from "../../core/author.ts";
import type { ChangeEvent, Item } from "../../core/change.ts";
import type { StoredItem } from "../../core/commit.ts";
import { rememberedFrom, rememberedText } from "../../core/idempotency.ts";
import type { LogExtent } from "../../core/retention.ts";
import { Value } from "../../core/value.ts";
import { readSafeInteger, writeSafeInteger } from "./keys.ts";

/** The record of a group's log as a whole. */
export interface LogRecord {
  /** Revision of the oldest change; one after the group's while the log is empty. */
  readonly start: number;
  /** Revision of the oldest change on the disk; changes before `start` are no longer in the log. */
  readonly keptFrom: number;
  readonly bytes: number;
  /** Wall clock and size of the oldest change; 0 while the log is empty. */
  readonly oldestTimeMs: number;
  readonly oldestSize: number;
}

/** The record of a group as a whole. */
export interface GroupRecord {
  /** Empty while the group was never written. */
  readonly epoch: string;
  readonly revision: number;
  /** Timestamp of the last event; 0 when there was none. */
  readonly timestamp: number;
  /** Wall clock of the last change; 0 when there was none. */
  readonly lastChangeMs: number;
  readonly itemCount: number;
  readonly log: LogRecord;
  /** Time of the group's entry in the due index; 0: it has none. */
  readonly sweepAtMs: number;
}

/** The log of a group that was never written. */
export const EMPTY_LOG: LogRecord = Object.freeze({
  start: 1,
  keptFrom: 1,
  bytes: 0,
  oldestTimeMs: 0,
  oldestSize: 0,
});

/** The record of a group that was never written. */
export const NO_GROUP: GroupRecord = Object.freeze({
  epoch: "",
  revision: 0,
  timestamp: 0,
  lastChangeMs: 0,
  itemCount: 0,
  log: EMPTY_LOG,
  sweepAtMs: 0,
});

/** The extent of a log, for retention. */
export function extentOf(log: LogRecord, revision: number): LogExtent {
  return { count: revision - log.start + 1, bytes: log.bytes, oldestTimeMs: log.oldestTimeMs };
}

/** Eight big-endian bytes. */
export function encodeNumber(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  writeSafeInteger(bytes, value, 0);
  return bytes;
}

/** Reads a number written by encodeNumber. */
export function decodeNumber(bytes: Buffer): number {
  return readSafeInteger(bytes, 0);
}

const EPOCH_AT = 80;

/** Ten integers of eight bytes, then the epoch. */
export function encodeGroup(group: GroupRecord): Buffer {
  const { log } = group;
  const bytes = Buffer.allocUnsafe(EPOCH_AT + Buffer.byteLength(group.epoch));
  writeSafeInteger(bytes, group.revision, 0);
  writeSafeInteger(bytes, group.timestamp, 8);
  writeSafeInteger(bytes, group.lastChangeMs, 16);
  writeSafeInteger(bytes, group.itemCount, 24);
  writeSafeInteger(bytes, log.start, 32);
  writeSafeInteger(bytes, log.keptFrom, 40);
  writeSafeInteger(bytes, log.bytes, 48);
  writeSafeInteger(bytes, log.oldestTimeMs, 56);
  writeSafeInteger(bytes, log.oldestSize, 64);
  writeSafeInteger(bytes, group.sweepAtMs, 72);
  bytes.write(group.epoch, EPOCH_AT);
  return bytes;
}

/** Reads a group written by encodeGroup. */
export function decodeGroup(bytes: Buffer): GroupRecord {
  return {
    epoch: bytes.toString("utf8", EPOCH_AT),
    revision: readSafeInteger(bytes, 0),
    timestamp: readSafeInteger(bytes, 8),
    lastChangeMs: readSafeInteger(bytes, 16),
    itemCount: readSafeInteger(bytes, 24),
    log: {
      start: readSafeInteger(bytes, 32),
      keptFrom: readSafeInteger(bytes, 40),
      bytes: readSafeInteger(bytes, 48),
      oldestTimeMs: readSafeInteger(bytes, 56),
      oldestSize: readSafeInteger(bytes, 64),
    },
    sweepAtMs: readSafeInteger(bytes, 72),
  };
}

/*
 * Items and changes end with the length of the id (2 bytes), the id and the text. With an author, the
 * length has a flag, and between id and text are the length of the author (2 bytes) and the author.
 */
const HAS_AUTHOR = 0x8000;

/** Bytes of an author in a record. */
function authorBytes(author: string): number {
  return author === NO_AUTHOR ? 0 : 2 + Buffer.byteLength(author);
}

/** Writes the end of a record, from the length of the id on. */
function writeTail(bytes: Buffer, at: number, itemId: string, author: string, text: string): void {
  const idBytes = bytes.write(itemId, at + 2);
  let end = at + 2 + idBytes;
  if (author === NO_AUTHOR) bytes.writeUInt16BE(idBytes, at);
  else {
    bytes.writeUInt16BE(idBytes | HAS_AUTHOR, at);
    const length = bytes.write(author, end + 2);
    bytes.writeUInt16BE(length, end);
    end += 2 + length;
  }
  bytes.write(text, end);
}

/** Where the text of a record begins. @param idBytes The length of the id as stored. */
function textStart(bytes: Buffer, idBytes: number, idEnd: number): number {
  return idBytes < HAS_AUTHOR ? idEnd : idEnd + 2 + bytes.readUInt16BE(idEnd);
}

/** The author, which is between id and text. */
function authorBetween(bytes: Buffer, idEnd: number, textAt: number): string {
  return idEnd === textAt ? NO_AUTHOR : bytes.toString("utf8", idEnd + 2, textAt);
}

const ITEM_HEADER = 28;

/** Creation time, update time, revision (8 bytes each), value size (4), then as all records. */
export function encodeItem(item: Item): Buffer {
  const { itemId, value, author } = item;
  const bytes = Buffer.allocUnsafe(
    ITEM_HEADER +
      2 +
      Buffer.byteLength(itemId) +
      authorBytes(author) +
      Buffer.byteLength(value.text),
  );
  writeSafeInteger(bytes, item.createTimeMs, 0);
  writeSafeInteger(bytes, item.updateTimeMs, 8);
  writeSafeInteger(bytes, item.revision, 16);
  bytes.writeUInt32BE(value.size, 24);
  writeTail(bytes, ITEM_HEADER, itemId, author, value.text);
  return bytes;
}

/** Reads an item written by encodeItem. */
export function decodeItem(bytes: Buffer, createdRevision: number): StoredItem {
  const idBytes = bytes.readUInt16BE(ITEM_HEADER);
  const idEnd = ITEM_HEADER + 2 + (idBytes & ~HAS_AUTHOR);
  const textAt = textStart(bytes, idBytes, idEnd);
  const item: Item = {
    itemId: bytes.toString("utf8", ITEM_HEADER + 2, idEnd),
    value: Value.trusted(bytes.toString("utf8", textAt), bytes.readUInt32BE(24)),
    revision: readSafeInteger(bytes, 16),
    createTimeMs: readSafeInteger(bytes, 0),
    updateTimeMs: readSafeInteger(bytes, 8),
    author: authorBetween(bytes, idEnd, textAt),
  };
  return { item, createdRevision };
}

const CHANGE_HEADER = 21;
const CHANGE_TYPES = ["create", "update", "delete"] as const;

/** Type (1 byte), timestamp, wall clock (8 each), value size (4), then as all records. */
export function encodeChange(change: ChangeEvent): Buffer {
  const { itemId, value, author } = change;
  const bytes = Buffer.allocUnsafe(
    CHANGE_HEADER +
      2 +
      Buffer.byteLength(itemId) +
      authorBytes(author) +
      Buffer.byteLength(value.text),
  );
  bytes[0] = CHANGE_TYPES.indexOf(change.type);
  writeSafeInteger(bytes, change.timestamp, 1);
  writeSafeInteger(bytes, change.timeMs, 9);
  bytes.writeUInt32BE(value.size, 17);
  writeTail(bytes, CHANGE_HEADER, itemId, author, value.text);
  return bytes;
}

/** Reads a change written by encodeChange. */
export function decodeChange(bytes: Buffer, epoch: string, revision: number): ChangeEvent {
  const idBytes = bytes.readUInt16BE(CHANGE_HEADER);
  const idEnd = CHANGE_HEADER + 2 + (idBytes & ~HAS_AUTHOR);
  const textAt = textStart(bytes, idBytes, idEnd);
  const type = CHANGE_TYPES[bytes.readUInt8(0)];
  if (type === undefined) throw new Error("A change in the store has an unknown type.");
  return {
    kind: "change",
    type,
    itemId: bytes.toString("utf8", CHANGE_HEADER + 2, idEnd),
    value: Value.trusted(bytes.toString("utf8", textAt), bytes.readUInt32BE(17)),
    position: { epoch, revision },
    timestamp: readSafeInteger(bytes, 1),
    timeMs: readSafeInteger(bytes, 9),
    author: authorBetween(bytes, idEnd, textAt),
  };
}

/** The time and size of a change, for retention, without decoding its value. */
export function changeExtent(bytes: Buffer): { readonly timeMs: number; readonly size: number } {
  return { timeMs: readSafeInteger(bytes, 9), size: bytes.readUInt32BE(17) };
}

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
