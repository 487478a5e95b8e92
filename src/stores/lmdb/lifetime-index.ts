import type { ConnectionPage, ExpiredItem, ItemLifetime, ItemName } from "../../core/lifetime.ts";
import type { Table, Tables, View, Write } from "./disk.ts";
import { type GroupName, groupOfKey, readSafeInteger, writeSafeInteger } from "./keys.ts";

/*
 * The items that go by themselves are in a table of their own, by the time of their end and by
 * connection. Neither names nor ids of connections contain NUL:
 *
 *   1 time (8 bytes) stream NUL group NUL item-id    1
 *   2 connection NUL stream NUL group NUL item-id    1
 */
const BY_TIME = 1;
const BY_CONNECTION = 2;
/** Before the names in a key by time. */
const TIME_HEADER = 9;
const PRESENT = Buffer.of(1);

/** The writes that keep the index in step with the write of an item. */
export function collectLifetime(
  writes: Write[],
  { lifetimes: table }: Tables,
  group: GroupName,
  itemId: string,
  before: ItemLifetime | undefined,
  after: ItemLifetime | undefined,
): void {
  if (before === after) return;
  if (before !== undefined)
    for (const key of keysOf(group, itemId, before)) writes.push({ table, key, value: undefined });
  if (after !== undefined)
    for (const key of keysOf(group, itemId, after)) writes.push({ table, key, value: PRESENT });
}

/** Items whose end is at or before a time, the earliest first. */
export function readExpired(
  view: View,
  { lifetimes }: Tables,
  nowMs: number,
  limit: number,
): ExpiredItem[] {
  const end = timeKey(nowMs + 1, "");
  return Array.from(view.range(lifetimes, timeKey(0, ""), end, limit), ({ key }) => ({
    ...namesOf(key.subarray(TIME_HEADER)),
    expireTimeMs: readSafeInteger(key, 1),
  }));
}

/** Items that are bound to a connection. */
export function readBound(
  view: View,
  { lifetimes }: Tables,
  connection: string,
  limit: number,
): ItemName[] {
  const start = connectionKey(connection, "\u0000");
  const found = view.range(lifetimes, start, connectionKey(connection, "\u0001"), limit);
  return Array.from(found, ({ key }) => namesOf(key.subarray(start.length)));
}

/** Connections that items are bound to, after `from`, sorted by UTF-8 bytes. */
export function readConnections(
  view: View,
  { lifetimes }: Tables,
  { from = "", limit }: { readonly from?: string | undefined; readonly limit: number },
): ConnectionPage {
  const found: string[] = [];
  const end = Buffer.of(BY_CONNECTION + 1);
  let start = connectionKey(from, "\u0001");
  while (found.length < limit) {
    const key = firstKey(view, lifetimes, start, end);
    if (key === undefined) break;
    const connection = key.toString("utf8", 1, key.indexOf(0));
    found.push(connection);
    start = connectionKey(connection, "\u0001");
  }
  return { connections: found, next: found.length < limit ? undefined : found.at(-1) };
}

function firstKey(view: View, table: Table, start: Buffer, end: Buffer): Buffer | undefined {
  for (const { key } of view.range(table, start, end, 1)) return key;
  return undefined;
}

function* keysOf(
  group: GroupName,
  itemId: string,
  { expireTimeMs, connection }: ItemLifetime,
): Generator<Buffer> {
  const names = `${group.text}\u0000${itemId}`;
  if (expireTimeMs !== undefined) yield timeKey(expireTimeMs, names);
  if (connection !== undefined) yield connectionKey(connection, `\u0000${names}`);
}

function timeKey(timeMs: number, names: string): Buffer {
  const key = Buffer.allocUnsafe(TIME_HEADER + Buffer.byteLength(names));
  key[0] = BY_TIME;
  writeSafeInteger(key, timeMs, 1);
  key.write(names, TIME_HEADER);
  return key;
}

function connectionKey(connection: string, rest: string): Buffer {
  return Buffer.from(`${String.fromCharCode(BY_CONNECTION)}${connection}${rest}`);
}

function namesOf(key: Buffer): ItemName {
  const at = key.lastIndexOf(0);
  return { group: groupOfKey(key.subarray(0, at)), itemId: key.toString("utf8", at + 1) };
}
