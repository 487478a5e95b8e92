import type { GroupKey } from "../../core/names.ts";
import { groupKeyText } from "../../core/names.ts";

/*
 * All records of a group are adjacent in one table: a commit touches few pages. The head follows the
 * newest change directly, because both are written with every commit:
 *
 *   stream NUL group NUL 1 item-id                   revision that created the item
 *   stream NUL group NUL 2 revision (8 bytes)        item, by the revision that created it
 *   stream NUL group NUL 3 revision (8 bytes)        change
 *   stream NUL group NUL 4                           head
 *
 * Names contain no control characters, so no group's prefix is a prefix of another's. Numbers are
 * big-endian: keys sort in the order of the numbers.
 */
/*
 * The idempotency keys of a group are in a table of their own:
 *
 *   stream NUL group NUL 1                           their number and age
 *   stream NUL group NUL 2 id                        number of the key
 *   stream NUL group NUL 3 number (8 bytes)          key; the oldest has the lowest number
 */
const KEYS_HEAD = 1;
const KEY_ID = 2;
const KEY_AT = 3;

const ITEM_ID = 1;
const ITEM = 2;
const CHANGE = 3;
const HEAD = 4;

/** A group's names, in the forms from which keys are made. */
export interface GroupName {
  readonly key: GroupKey;
  /** Its `groupKeyText`. */
  readonly text: string;
  /** The prefix of all keys of the group. */
  readonly prefix: Buffer;
}

/** Prepares a group's names. */
export function groupName(key: GroupKey): GroupName {
  const text = groupKeyText(key);
  return { key, text, prefix: Buffer.from(`${text}\u0000`) };
}

/** Key of the group's head. */
export function headKey(group: GroupName): Buffer {
  const key = Buffer.allocUnsafe(group.prefix.length + 1);
  group.prefix.copy(key);
  key[group.prefix.length] = HEAD;
  return key;
}

/** Key of an item's entry by id. */
export function itemIdKey(group: GroupName, itemId: string): Buffer {
  return namedKey(group, ITEM_ID, itemId);
}

/** Key of the record of a group's idempotency keys as a whole. */
export function keysHeadKey(group: GroupName): Buffer {
  return namedKey(group, KEYS_HEAD, "");
}

/** Key of an idempotency key's entry by id. */
export function keyIdKey(group: GroupName, id: string): Buffer {
  return namedKey(group, KEY_ID, id);
}

/** Key of an idempotency key by its number. */
export function keyAtKey(group: GroupName, number: number): Buffer {
  return numberedKey(group, KEY_AT, number);
}

/** Key of an item, by the revision that created it. */
export function itemKey(group: GroupName, createdRevision: number): Buffer {
  return numberedKey(group, ITEM, createdRevision);
}

/** Key of a change. */
export function changeKey(group: GroupName, revision: number): Buffer {
  return numberedKey(group, CHANGE, revision);
}

/** Reads the revision from an item's or a change's key. */
export function numberOfKey(key: Buffer): number {
  return readSafeInteger(key, key.length - 8);
}

/** Key of a group in the index of groups that hold items. */
export function indexKey(group: GroupName): Buffer {
  return group.prefix.subarray(0, -1);
}

/** Reads the group from a key of the index, or from the rest of a due key. */
export function groupOfKey(key: Buffer): GroupKey {
  const text = key.toString();
  const nul = text.indexOf("\u0000");
  return { streamName: text.slice(0, nul), groupId: text.slice(nul + 1) };
}

/** Key of a group in the index of groups to sweep, by time. */
export function dueKey(atMs: number, group: GroupName): Buffer {
  const key = Buffer.allocUnsafe(8 + group.prefix.length - 1);
  writeSafeInteger(key, atMs, 0);
  group.prefix.copy(key, 8, 0, group.prefix.length - 1);
  return key;
}

/** The first key after every key that is due at this time. */
export function dueEnd(atMs: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  writeSafeInteger(key, atMs + 1, 0);
  return key;
}

/** Writes an integer from 0 to 2^53-1 as eight big-endian bytes. */
export function writeSafeInteger(target: Buffer, value: number, at: number): void {
  target.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  target.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

/** Reads an integer written by writeSafeInteger. */
export function readSafeInteger(source: Buffer, at: number): number {
  return source.readUInt32BE(at) * 0x1_0000_0000 + source.readUInt32BE(at + 4);
}

function namedKey(group: GroupName, tag: number, name: string): Buffer {
  const at = group.prefix.length;
  const key = Buffer.allocUnsafe(at + 1 + Buffer.byteLength(name));
  group.prefix.copy(key);
  key[at] = tag;
  key.write(name, at + 1);
  return key;
}

function numberedKey(group: GroupName, tag: number, value: number): Buffer {
  const at = group.prefix.length;
  const key = Buffer.allocUnsafe(at + 9);
  group.prefix.copy(key);
  key[at] = tag;
  writeSafeInteger(key, value, at + 1);
  return key;
}
