import type { ChangeEvent, Item } from "../../core/change.ts";
import type { StoredItem } from "../../core/commit.ts";
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

const ITEM_HEADER = 30;

/** Creation time, update time, revision (8 bytes each), value size (4), id length (2), id, text. */
export function encodeItem(item: Item): Buffer {
  const idBytes = Buffer.byteLength(item.itemId);
  const bytes = Buffer.allocUnsafe(ITEM_HEADER + idBytes + Buffer.byteLength(item.value.text));
  writeSafeInteger(bytes, item.createTimeMs, 0);
  writeSafeInteger(bytes, item.updateTimeMs, 8);
  writeSafeInteger(bytes, item.revision, 16);
  bytes.writeUInt32BE(item.value.size, 24);
  bytes.writeUInt16BE(idBytes, 28);
  bytes.write(item.itemId, ITEM_HEADER);
  bytes.write(item.value.text, ITEM_HEADER + idBytes);
  return bytes;
}

/** Reads an item written by encodeItem. */
export function decodeItem(bytes: Buffer, createdRevision: number): StoredItem {
  const textAt = ITEM_HEADER + bytes.readUInt16BE(28);
  const item: Item = {
    itemId: bytes.toString("utf8", ITEM_HEADER, textAt),
    value: Value.trusted(bytes.toString("utf8", textAt), bytes.readUInt32BE(24)),
    revision: readSafeInteger(bytes, 16),
    createTimeMs: readSafeInteger(bytes, 0),
    updateTimeMs: readSafeInteger(bytes, 8),
  };
  return { item, createdRevision };
}

const CHANGE_HEADER = 23;
const CHANGE_TYPES = ["create", "update", "delete"] as const;

/** Type (1 byte), timestamp, wall clock (8 each), value size (4), id length (2), id, text. */
export function encodeChange(change: ChangeEvent): Buffer {
  const idBytes = Buffer.byteLength(change.itemId);
  const bytes = Buffer.allocUnsafe(CHANGE_HEADER + idBytes + Buffer.byteLength(change.value.text));
  bytes[0] = CHANGE_TYPES.indexOf(change.type);
  writeSafeInteger(bytes, change.timestamp, 1);
  writeSafeInteger(bytes, change.timeMs, 9);
  bytes.writeUInt32BE(change.value.size, 17);
  bytes.writeUInt16BE(idBytes, 21);
  bytes.write(change.itemId, CHANGE_HEADER);
  bytes.write(change.value.text, CHANGE_HEADER + idBytes);
  return bytes;
}

/** Reads a change written by encodeChange. */
export function decodeChange(bytes: Buffer, epoch: string, revision: number): ChangeEvent {
  const textAt = CHANGE_HEADER + bytes.readUInt16BE(21);
  const type = CHANGE_TYPES[bytes.readUInt8(0)];
  if (type === undefined) throw new Error("A change in the store has an unknown type.");
  return {
    kind: "change",
    type,
    itemId: bytes.toString("utf8", CHANGE_HEADER, textAt),
    value: Value.trusted(bytes.toString("utf8", textAt), bytes.readUInt32BE(17)),
    position: { epoch, revision },
    timestamp: readSafeInteger(bytes, 1),
    timeMs: readSafeInteger(bytes, 9),
  };
}

/** The time and size of a change, for retention, without decoding its value. */
export function changeExtent(bytes: Buffer): { readonly timeMs: number; readonly size: number } {
  return { timeMs: readSafeInteger(bytes, 9), size: bytes.readUInt32BE(17) };
}
