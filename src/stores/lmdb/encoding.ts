import { NO_AUTHOR } from "../../core/author.ts";
import type { ChangeEvent, Item } from "../../core/change.ts";
import type { Cause, ItemLifetime } from "../../core/lifetime.ts";
import type { StoredItem } from "../../core/commit.ts";
import { Delta } from "../../core/delta.ts";
import { type LogEntry, valueSizeOf } from "../../core/log-entry.ts";
import { MAX_PINS, NO_PINS, type Pin } from "../../core/log-pins.ts";
import type { LogExtent } from "../../core/retention.ts";
import { Value } from "../../core/value.ts";
import { readSafeInteger, writeSafeInteger } from "./keys.ts";

/** The record of a group's log as a whole. */
export interface LogRecord {
  /** Revision of the oldest change; one after the group's while the log is empty. */
  readonly start: number;
  /** Revision of the oldest entry on the disk; entries before `start` are no longer in the log. */
  readonly keptFrom: number;
  /** The entries before `start` that the log needs. */
  readonly pins: readonly Pin[];
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
  pins: NO_PINS,
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

const PINS_AT = 80;

/**
 * Ten integers of eight bytes, the pins of the log, the epoch. Pins: their number (1 byte), then two
 * integers each; nothing when there are none. No epoch begins with such a byte.
 */
export function encodeGroup(group: GroupRecord): Buffer {
  const { log } = group;
  const epochAt = PINS_AT + (log.pins.length === 0 ? 0 : 1 + 16 * log.pins.length);
  const bytes = Buffer.allocUnsafe(epochAt + Buffer.byteLength(group.epoch));
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
  if (log.pins.length > 0) bytes[PINS_AT] = log.pins.length;
  let at = PINS_AT + 1;
  for (const { from, to } of log.pins) {
    writeSafeInteger(bytes, from, at);
    writeSafeInteger(bytes, to, at + 8);
    at += 16;
  }
  bytes.write(group.epoch, epochAt);
  return bytes;
}

/** Reads a group written by encodeGroup. */
export function decodeGroup(bytes: Buffer): GroupRecord {
  const pins = decodePins(bytes);
  return {
    epoch: bytes.toString("utf8", PINS_AT + (pins.length === 0 ? 0 : 1 + 16 * pins.length)),
    revision: readSafeInteger(bytes, 0),
    timestamp: readSafeInteger(bytes, 8),
    lastChangeMs: readSafeInteger(bytes, 16),
    itemCount: readSafeInteger(bytes, 24),
    log: {
      start: readSafeInteger(bytes, 32),
      keptFrom: readSafeInteger(bytes, 40),
      pins,
      bytes: readSafeInteger(bytes, 48),
      oldestTimeMs: readSafeInteger(bytes, 56),
      oldestSize: readSafeInteger(bytes, 64),
    },
    sweepAtMs: readSafeInteger(bytes, 72),
  };
}

function decodePins(bytes: Buffer): readonly Pin[] {
  const count = bytes[PINS_AT] ?? 0;
  if (count === 0 || count > MAX_PINS) return NO_PINS;
  return Array.from({ length: count }, (_, index) => {
    const at = PINS_AT + 1 + 16 * index;
    return { from: readSafeInteger(bytes, at), to: readSafeInteger(bytes, at + 8) };
  });
}

/*
 * Items and changes end with the length of the id (2 bytes), the id and the text. With an author, the
 * length has a flag, and between id and text are the length of the author (2 bytes) and the author.
 * With a lifetime, an item has another flag, and before its text the wall clock of its end (8 bytes,
 * 0: none), the length of the connection (1 byte) and the connection.
 */
const HAS_AUTHOR = 0x8000;
const HAS_LIFETIME = 0x4000;
const ID_BYTES = 0x3fff;
const LIFETIME_HEADER = 9;

/** Bytes of an author in a record. */
function authorBytes(author: string): number {
  return author === NO_AUTHOR ? 0 : 2 + Buffer.byteLength(author);
}

/** Writes the length of the id, the id and the author. @returns Where the text begins. */
function writeNames(bytes: Buffer, at: number, itemId: string, author: string): number {
  const idBytes = bytes.write(itemId, at + 2);
  let end = at + 2 + idBytes;
  if (author === NO_AUTHOR) bytes.writeUInt16BE(idBytes, at);
  else {
    bytes.writeUInt16BE(idBytes | HAS_AUTHOR, at);
    const length = bytes.write(author, end + 2);
    bytes.writeUInt16BE(length, end);
    end += 2 + length;
  }
  return end;
}

/** Where the author ends. @param idBytes The length of the id as stored. */
function authorEnd(bytes: Buffer, idBytes: number, idEnd: number): number {
  return (idBytes & HAS_AUTHOR) === 0 ? idEnd : idEnd + 2 + bytes.readUInt16BE(idEnd);
}

/** The author, which is after the id. */
function authorBetween(bytes: Buffer, idEnd: number, end: number): string {
  return idEnd === end ? NO_AUTHOR : bytes.toString("utf8", idEnd + 2, end);
}

const ITEM_HEADER = 28;

/** Creation time, update time, revision (8 bytes each), value size (4), then as all records. */
export function encodeItem(item: Item): Buffer {
  const { itemId, value, author, lifetime } = item;
  const bytes = Buffer.allocUnsafe(
    ITEM_HEADER +
      2 +
      Buffer.byteLength(itemId) +
      authorBytes(author) +
      (lifetime === undefined
        ? 0
        : LIFETIME_HEADER + Buffer.byteLength(lifetime.connection ?? "")) +
      Buffer.byteLength(value.text),
  );
  writeSafeInteger(bytes, item.createTimeMs, 0);
  writeSafeInteger(bytes, item.updateTimeMs, 8);
  writeSafeInteger(bytes, item.revision, 16);
  bytes.writeUInt32BE(value.size, 24);
  let at = writeNames(bytes, ITEM_HEADER, itemId, author);
  if (lifetime !== undefined) {
    bytes.writeUInt16BE(bytes.readUInt16BE(ITEM_HEADER) | HAS_LIFETIME, ITEM_HEADER);
    at = writeLifetime(bytes, at, lifetime);
  }
  bytes.write(value.text, at);
  return bytes;
}

/** Writes a lifetime. @returns Where it ends. */
function writeLifetime(
  bytes: Buffer,
  at: number,
  { expireTimeMs = 0, connection = "" }: ItemLifetime,
): number {
  writeSafeInteger(bytes, expireTimeMs, at);
  const length = bytes.write(connection, at + LIFETIME_HEADER);
  bytes.writeUInt8(length, at + 8);
  return at + LIFETIME_HEADER + length;
}

/** Reads a lifetime, and where it ends. */
function readLifetime(bytes: Buffer, at: number): readonly [ItemLifetime, end: number] {
  const expireTimeMs = readSafeInteger(bytes, at) || undefined;
  const end = at + LIFETIME_HEADER + bytes.readUInt8(at + 8);
  const connection = bytes.toString("utf8", at + LIFETIME_HEADER, end) || undefined;
  return [{ expireTimeMs, connection }, end];
}

/** Reads an item written by encodeItem. */
export function decodeItem(bytes: Buffer, createdRevision: number): StoredItem {
  const idBytes = bytes.readUInt16BE(ITEM_HEADER);
  const idEnd = ITEM_HEADER + 2 + (idBytes & ID_BYTES);
  const namesEnd = authorEnd(bytes, idBytes, idEnd);
  const [lifetime, textAt] =
    (idBytes & HAS_LIFETIME) === 0 ? [undefined, namesEnd] : readLifetime(bytes, namesEnd);
  const item: Item = {
    itemId: bytes.toString("utf8", ITEM_HEADER + 2, idEnd),
    value: Value.trusted(bytes.toString("utf8", textAt), bytes.readUInt32BE(24)),
    revision: readSafeInteger(bytes, 16),
    createTimeMs: readSafeInteger(bytes, 0),
    updateTimeMs: readSafeInteger(bytes, 8),
    author: authorBetween(bytes, idEnd, namesEnd),
    lifetime,
  };
  return { item, createdRevision };
}

const CHANGE_HEADER = 21;
const CHANGE_TYPES = ["create", "update", "delete"] as const;
/** An update with its value and its delta. */
const UPDATE_WITH_DELTA = 3;
/** An update with its delta alone. */
const DELTA = 4;
/** A delete by the service, for each cause. */
const CAUSED: Readonly<Record<Cause, number>> = { expired: 5, disconnected: 6, evicted: 7 };
const CAUSES: readonly (Cause | undefined)[] = [
  ...Array<undefined>(5),
  "expired",
  "disconnected",
  "evicted",
];
/** What stands before the text of a delta of each type, in bytes. */
const WITH_DELTA_HEADER = 12;
const DELTA_HEADER = 21;

/**
 * Type (1 byte), timestamp, wall clock (8 each), value size (4), then as all records. The text is
 * that of the value; but of an update with delta: base revision (8), bytes of the delta (4), the
 * delta, the value; and of a delta alone: base revision, revision of the whole entry (8 each),
 * number of changes (1) and bytes (4) of its chain, the delta.
 */
export function encodeLogEntry(entry: LogEntry): Buffer {
  const { itemId, author, delta } = entry;
  const isDelta = entry.kind === "delta";
  const namesBytes = 2 + Buffer.byteLength(itemId) + authorBytes(author);
  const deltaBytes = delta === undefined ? 0 : delta.size;
  const headerBytes = isDelta ? DELTA_HEADER : delta === undefined ? 0 : WITH_DELTA_HEADER;
  const valueBytes = isDelta ? 0 : Buffer.byteLength(entry.value.text);
  const bytes = Buffer.allocUnsafe(
    CHANGE_HEADER + namesBytes + headerBytes + deltaBytes + valueBytes,
  );
  bytes[0] = isDelta ? DELTA : delta === undefined ? typeOf(entry) : UPDATE_WITH_DELTA;
  writeSafeInteger(bytes, entry.timestamp, 1);
  writeSafeInteger(bytes, entry.timeMs, 9);
  bytes.writeUInt32BE(valueSizeOf(entry), 17);
  const textAt = writeNames(bytes, CHANGE_HEADER, itemId, author);
  if (delta !== undefined) {
    writeSafeInteger(bytes, delta.baseRevision, textAt);
    bytes.write(delta.text, textAt + headerBytes);
  }
  if (isDelta) {
    writeSafeInteger(bytes, entry.chain.wholeRevision, textAt + 8);
    bytes[textAt + 16] = entry.chain.changes;
    bytes.writeUInt32BE(entry.chain.bytes, textAt + 17);
    return bytes;
  }
  if (delta !== undefined) bytes.writeUInt32BE(deltaBytes, textAt + 8);
  bytes.write(entry.value.text, textAt + headerBytes + deltaBytes);
  return bytes;
}

function typeOf({ type, cause }: Pick<ChangeEvent, "type" | "cause">): number {
  return cause === undefined ? CHANGE_TYPES.indexOf(type) : CAUSED[cause];
}

/** Wall clock of an entry, read without the rest of it. */
export function entryTimeMs(bytes: Buffer): number {
  return readSafeInteger(bytes, 9);
}

/** Reads an entry written by encodeLogEntry. */
export function decodeLogEntry(bytes: Buffer, epoch: string, revision: number): LogEntry {
  const idBytes = bytes.readUInt16BE(CHANGE_HEADER);
  const idEnd = CHANGE_HEADER + 2 + (idBytes & ID_BYTES);
  const textAt = authorEnd(bytes, idBytes, idEnd);
  const type = bytes.readUInt8(0);
  const size = bytes.readUInt32BE(17);
  const shared = {
    itemId: bytes.toString("utf8", CHANGE_HEADER + 2, idEnd),
    position: { epoch, revision },
    timestamp: readSafeInteger(bytes, 1),
    timeMs: readSafeInteger(bytes, 9),
    author: authorBetween(bytes, idEnd, textAt),
  };
  if (type === DELTA) {
    const text = bytes.toString("utf8", textAt + DELTA_HEADER);
    return {
      kind: "delta",
      ...shared,
      delta: Delta.trusted(readSafeInteger(bytes, textAt), text),
      valueSize: size,
      chain: {
        wholeRevision: readSafeInteger(bytes, textAt + 8),
        changes: bytes.readUInt8(textAt + 16),
        bytes: bytes.readUInt32BE(textAt + 17),
      },
    };
  }
  const hasDelta = type === UPDATE_WITH_DELTA;
  const cause = CAUSES[type];
  const known = hasDelta ? "update" : cause === undefined ? CHANGE_TYPES[type] : "delete";
  if (known === undefined) throw new Error("A change in the store has an unknown type.");
  const deltaAt = textAt + WITH_DELTA_HEADER;
  const valueAt = hasDelta ? deltaAt + bytes.readUInt32BE(textAt + 8) : textAt;
  return {
    kind: "change",
    type: known,
    ...shared,
    value: Value.trusted(bytes.toString("utf8", valueAt), size),
    delta: hasDelta
      ? Delta.trusted(readSafeInteger(bytes, textAt), bytes.toString("utf8", deltaAt, valueAt))
      : undefined,
    cause,
  };
}

/** The time of an entry, and its size in the log, without decoding its text. */
export function entryExtent(bytes: Buffer): { readonly timeMs: number; readonly size: number } {
  const timeMs = readSafeInteger(bytes, 9);
  const size = bytes.readUInt32BE(17);
  const type = bytes.readUInt8(0);
  if (type !== UPDATE_WITH_DELTA && type !== DELTA) return { timeMs, size };
  const idBytes = bytes.readUInt16BE(CHANGE_HEADER);
  const idEnd = CHANGE_HEADER + 2 + (idBytes & ID_BYTES);
  const textAt = authorEnd(bytes, idBytes, idEnd);
  if (type === DELTA) return { timeMs, size: bytes.length - textAt - DELTA_HEADER };
  return { timeMs, size: size + bytes.readUInt32BE(textAt + 8) };
}
