import { groupOfText } from "../../core/names.ts";
import { NO_AUTHOR } from "../../core/author.ts";
import type { ChangeEvent, GroupEvent, Item, TransientEvent } from "../../core/change.ts";
import type { StoredItem } from "../../core/commit.ts";
import { Delta } from "../../core/delta.ts";
import type { Cause, ItemLifetime } from "../../core/lifetime.ts";
import type { LogEntry } from "../../core/log-entry.ts";
import { MAX_PINS } from "../../core/log-pins.ts";
import type { OutboxEntry, OutboxHead } from "../../core/outbox.ts";
import { ORIGIN, type Position } from "../../core/position.ts";
import type { Head } from "../../core/store.ts";
import { Value } from "../../core/value.ts";

/*
 * Decodes the records that the scripts encode (see lua/records.lua).
 */

const HEAD_BYTES = 64;
const ITEM_BYTES = 36;
const CHANGE_BYTES = 31;
const TRANSIENT_BYTES = 24;
const NO_ITEM = 0xffff;
/** Added to the size of an item or a transient event that has an author. */
const SIZE_WITH_AUTHOR = 0x8000_0000;
/** Added to the size of an item that has a lifetime. */
const SIZE_WITH_LIFETIME = 0x4000_0000;
/** A lifetime without its connection, in bytes. */
const LIFETIME_BYTES = 9;
/** Added to the type of a change that has an author. */
const TYPE_WITH_AUTHOR = 0x80;
/** Added to the type of an update that has its delta before its value, or in its place. */
const TYPE_WITH_DELTA = 0x40;
const TYPE_DELTA = 0x20;
/** What stands before the text of such deltas, in bytes. */
const WITH_DELTA_BYTES = 12;
const DELTA_BYTES = 21;
const CHANGE_TYPES = ["create", "update", "delete"] as const;
/** The index of the cause, times this, is added to the type of a delete by the service. */
const CAUSE = 4;
const CAUSES: readonly (Cause | undefined)[] = [undefined, "expired", "disconnected", "evicted"];

/** The head of a group. */
export interface GroupHead extends Head {
  /** Number of items. */
  readonly itemCount: number;
  /** Number of changes in the log. */
  readonly logCount: number;
}

const NO_HEAD: GroupHead = Object.freeze({
  position: ORIGIN,
  timestamp: 0,
  itemCount: 0,
  logCount: 0,
});

/** Reads a reply that is text or null. */
export function textOf(reply: unknown): string {
  if (Buffer.isBuffer(reply)) return reply.toString();
  return typeof reply === "string" || typeof reply === "number" ? `${reply}` : "";
}

/** Reads a head. @param lineage The lineage of its partition. */
export function unpackHead(packed: unknown, lineage: unknown): GroupHead {
  if (!Buffer.isBuffer(packed)) return NO_HEAD;
  // The pins of the log, which only the scripts use.
  const pins = packed[HEAD_BYTES] ?? 0;
  const own = packed.toString("utf8", HEAD_BYTES + (pins <= MAX_PINS ? pinBytes(pins) : 0));
  const suffix = textOf(lineage);
  const epoch = own === "" || suffix === "" ? own : `${own}.${suffix}`;
  return {
    position: { epoch, revision: packed.readDoubleBE(0) },
    timestamp: packed.readDoubleBE(8),
    itemCount: packed.readDoubleBE(24),
    logCount: packed.readDoubleBE(32),
  };
}

function pinBytes(pins: number): number {
  return pins === 0 ? 0 : 1 + 16 * pins;
}

/** Reads the value of an item's record. */
export function unpackValue(packed: Buffer): Value {
  const size = packed.readUInt32BE(32);
  const authorEnd = valueStart(packed, ITEM_BYTES, size >= SIZE_WITH_AUTHOR);
  return valueFrom(packed, hasLifetime(size) ? lifetimeEnd(packed, authorEnd) : authorEnd, size);
}

/** @param size As stored. */
function hasLifetime(size: number): boolean {
  return size % SIZE_WITH_AUTHOR >= SIZE_WITH_LIFETIME;
}

/** Where a lifetime ends: it stands between author and value. */
function lifetimeEnd(packed: Buffer, at: number): number {
  return at + LIFETIME_BYTES + packed.readUInt8(at + 8);
}

function unpackLifetime(packed: Buffer, at: number, end: number): ItemLifetime {
  return {
    expireTimeMs: packed.readDoubleBE(at) || undefined,
    connection: packed.toString("utf8", at + LIFETIME_BYTES, end) || undefined,
  };
}

/** Where the value begins: after the author, if there is one. */
function valueStart(packed: Buffer, at: number, hasAuthor: boolean): number {
  return hasAuthor ? at + 2 + packed.readUInt16BE(at) : at;
}

/** The author that stands before a value. @param at Where it would be. */
function authorBefore(packed: Buffer, at: number, valueAt: number): string {
  return at === valueAt ? NO_AUTHOR : packed.toString("utf8", at + 2, valueAt);
}

/** @param size Its size, with whatever is added to it. */
function valueFrom(packed: Buffer, valueAt: number, size: number): Value {
  return Value.trusted(packed.toString("utf8", valueAt), size % SIZE_WITH_LIFETIME);
}

/** Reads an item; undefined: there is none. */
export function unpackItem(itemId: string, packed: unknown): StoredItem | undefined {
  if (!Buffer.isBuffer(packed)) return undefined;
  const size = packed.readUInt32BE(32);
  const authorEnd = valueStart(packed, ITEM_BYTES, size >= SIZE_WITH_AUTHOR);
  const isMortal = hasLifetime(size);
  const valueAt = isMortal ? lifetimeEnd(packed, authorEnd) : authorEnd;
  const item: Item = {
    itemId,
    value: valueFrom(packed, valueAt, size),
    revision: packed.readDoubleBE(8),
    createTimeMs: packed.readDoubleBE(16),
    updateTimeMs: packed.readDoubleBE(24),
    author: authorBefore(packed, ITEM_BYTES, authorEnd),
    lifetime: isMortal ? unpackLifetime(packed, authorEnd, valueAt) : undefined,
  };
  return { item, createdRevision: packed.readDoubleBE(0) };
}

/**
 * Reads a change that is stored whole.
 *
 * @internal
 */
export function unpackChange(packed: Buffer, epoch: string): ChangeEvent {
  const entry = unpackEntry(packed, epoch);
  if (entry.kind === "change") return entry;
  throw new Error("A change in the store has no value.");
}

/** Reads an entry of a log. */
export function unpackEntry(packed: Buffer, epoch: string): LogEntry {
  const code = packed.readUInt8(0);
  const idEnd = CHANGE_BYTES + packed.readUInt16BE(29);
  const textAt = valueStart(packed, idEnd, code >= TYPE_WITH_AUTHOR);
  const size = packed.readUInt32BE(25);
  const shared = {
    itemId: packed.toString("utf8", CHANGE_BYTES, idEnd),
    position: { epoch, revision: packed.readDoubleBE(1) },
    timestamp: packed.readDoubleBE(9),
    timeMs: packed.readDoubleBE(17),
    author: authorBefore(packed, idEnd, textAt),
  };
  if ((code & TYPE_DELTA) !== 0) {
    const text = packed.toString("utf8", textAt + DELTA_BYTES);
    return {
      kind: "delta",
      ...shared,
      delta: Delta.trusted(packed.readDoubleBE(textAt), text),
      valueSize: size,
      chain: {
        wholeRevision: packed.readDoubleBE(textAt + 8),
        changes: packed.readUInt8(textAt + 16),
        bytes: packed.readUInt32BE(textAt + 17),
      },
    };
  }
  const own = code & ~(TYPE_WITH_AUTHOR | TYPE_WITH_DELTA);
  const type = CHANGE_TYPES[own % CAUSE];
  if (type === undefined) throw new Error("A change in the store has an unknown type.");
  const hasDelta = (code & TYPE_WITH_DELTA) !== 0;
  const deltaAt = textAt + WITH_DELTA_BYTES;
  const valueAt = hasDelta ? deltaAt + packed.readUInt32BE(textAt) : textAt;
  return {
    kind: "change",
    type,
    ...shared,
    value: Value.trusted(packed.toString("utf8", valueAt), size),
    delta: hasDelta
      ? Delta.trusted(packed.readDoubleBE(textAt + 4), packed.toString("utf8", deltaAt, valueAt))
      : undefined,
    cause: CAUSES[Math.floor(own / CAUSE)],
  };
}

function decodeTransient(packed: Buffer, epoch: string): TransientEvent {
  const typeEnd = TRANSIENT_BYTES + packed.readUInt16BE(20);
  const idBytes = packed.readUInt16BE(22);
  const idEnd = typeEnd + (idBytes === NO_ITEM ? 0 : idBytes);
  const size = packed.readUInt32BE(16);
  const valueAt = valueStart(packed, idEnd, size >= SIZE_WITH_AUTHOR);
  const after: Position = { epoch, revision: packed.readDoubleBE(0) };
  return {
    kind: "event",
    type: packed.toString("utf8", TRANSIENT_BYTES, typeEnd),
    itemId: idBytes === NO_ITEM ? undefined : packed.toString("utf8", typeEnd, idEnd),
    value: valueFrom(packed, valueAt, size),
    after,
    timestamp: packed.readDoubleBE(8),
    author: authorBefore(packed, idEnd, valueAt),
  };
}

/** A message of a group. */
export interface GroupMessage {
  readonly events: readonly GroupEvent[];
  /** What the partition had with it; undefined: the message does not say. */
  readonly known: { readonly commits: number; readonly lineage: string } | undefined;
}

/** Kinds of messages (see lua/commit.lua). */
const CHANGES_WITHOUT_COMMITS = 1;
const TRANSIENT = 2;
const CHANGES = 4;
const CHANGES_WITH_AUTHORS = 5;
const CHANGES_WITH_DELTAS = 7;
const TRANSIENT_WITH_AUTHOR = 6;

/** Reads a message of a group; undefined: it only says that there is something in the log. */
export function decodeMessage(packed: Buffer): GroupMessage | undefined {
  const kind = packed.readUInt8(0);
  if (kind === CHANGES || kind === CHANGES_WITH_AUTHORS || kind === CHANGES_WITH_DELTAS) {
    const epochAt = 12;
    const epochEnd = epochAt + packed.readUInt16BE(10);
    const epoch = packed.toString("utf8", epochAt, epochEnd);
    const lineage = packed.toString("utf8", epochEnd - packed.readUInt8(9), epochEnd);
    const known = { commits: packed.readDoubleBE(1), lineage };
    return { events: decodeChanges(packed, epochEnd, epoch), known };
  }
  const isTransient = kind === TRANSIENT || kind === TRANSIENT_WITH_AUTHOR;
  if (kind !== CHANGES_WITHOUT_COMMITS && !isTransient) return undefined;
  const epochEnd = 3 + packed.readUInt16BE(1);
  const epoch = packed.toString("utf8", 3, epochEnd);
  const events = isTransient
    ? [decodeTransient(packed.subarray(epochEnd), epoch)]
    : decodeChanges(packed, epochEnd, epoch);
  return { events, known: undefined };
}

function decodeChanges(packed: Buffer, start: number, epoch: string): readonly GroupEvent[] {
  let at = start;
  const events: GroupEvent[] = [];
  while (at < packed.length) {
    const end = at + 4 + packed.readUInt32BE(at);
    events.push(unpackChange(packed.subarray(at + 4, end), epoch));
    at = end;
  }
  return events;
}

/** The encoded form of a firing, opaque to the scripts. */
export function encodeFiring(triggers: readonly string[], depth: number): string {
  return JSON.stringify([depth, ...triggers]);
}

function decodeFiring(text: string): { readonly triggers: string[]; readonly depth: number } {
  const [depth, ...triggers] = JSON.parse(text) as [number, ...string[]];
  return { triggers, depth };
}

/** An announced entry. */
export interface AnnouncedEntry {
  readonly head: OutboxHead;
  /** The whole encoded entry; undefined when only its head was announced. */
  readonly packed: Buffer | undefined;
}

/** Reads an announcement of an outbox. */
export function decodeOutboxMessage(message: Buffer): readonly AnnouncedEntry[] {
  const entries: AnnouncedEntry[] = [];
  for (let at = 0; at < message.length;) {
    const end = at + 12 + message.readUInt32BE(at + 8);
    const packed = message.subarray(at + 12, end);
    const head = decodeOutboxHead(message.readDoubleBE(at), packed, undefined);
    const isWhole = packed.length > headBytes(packed);
    entries.push({ head, packed: isWhole ? packed : undefined });
    at = end;
  }
  return entries;
}

function headBytes(packed: Buffer): number {
  return ENTRY_BYTES + packed.readUInt16BE(0) + packed.readUInt16BE(2) + packed.readUInt32BE(4);
}

const ENTRY_BYTES = 9;

/** Reads the head of an outbox entry. @param settled Ids of triggers that are done with it. */
export function decodeOutboxHead(seq: number, packed: Buffer, settled: unknown): OutboxHead {
  const groupAt = ENTRY_BYTES + packed.readUInt16BE(0);
  const firesAt = groupAt + packed.readUInt16BE(2);
  const { triggers, depth } = decodeFiring(
    packed.toString("utf8", firesAt, firesAt + packed.readUInt32BE(4)),
  );
  const done = new Set(textOf(settled).split("\u0000"));
  return {
    seq,
    group: groupOfText(packed.toString("utf8", groupAt, firesAt)),
    triggers: triggers.filter((id) => !done.has(id)),
    depth,
  };
}

/** Reads a whole outbox entry. */
export function decodeOutboxEntry(seq: number, packed: Buffer, settled: unknown): OutboxEntry {
  const epochEnd = ENTRY_BYTES + packed.readUInt16BE(0);
  const epoch = packed.toString("utf8", ENTRY_BYTES, epochEnd);
  const record = packed.subarray(epochEnd + packed.readUInt16BE(2) + packed.readUInt32BE(4));
  const event =
    packed.readUInt8(8) === 1 ? unpackChange(record, epoch) : decodeTransient(record, epoch);
  return { ...decodeOutboxHead(seq, packed, settled), event };
}
