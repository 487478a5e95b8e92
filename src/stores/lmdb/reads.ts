import type { Item, LoggedChange } from "../../core/change.ts";
import type { StoredItem } from "../../core/commit.ts";
import { StreamError } from "../../core/errors.ts";
import {
  type LogEntry,
  materialiser,
  sizeOfSmallest,
  smallest,
  valueSizeOf,
} from "../../core/log-entry.ts";
import type { LogRange } from "../../core/log-range.ts";
import { type GroupKey, groupKeyText } from "../../core/names.ts";
import { isResumable, type Position } from "../../core/position.ts";
import { isExpired } from "../../core/retention.ts";
import type {
  GroupPage,
  Head,
  History,
  ItemPage,
  ItemPageRequest,
  ReadLimits,
  Replay,
} from "../../core/store.ts";
import type { Table, Tables, View } from "./disk.ts";
import {
  changeKey,
  dueEnd,
  groupOfKey,
  headKey,
  itemIdKey,
  itemKey,
  numberOfKey,
  type GroupName,
} from "./keys.ts";
import { epochIn } from "./folder/lineage.ts";
import {
  NO_GROUP,
  decodeLogEntry,
  entryTimeMs,
  decodeGroup,
  decodeItem,
  decodeNumber,
  type GroupRecord,
} from "./encoding.ts";

/** The source of reads: one state and its tables. */
export interface Source {
  readonly view: View;
  readonly tables: Tables;
  /** Name of the data's lineage. */
  readonly lineage: string;
}

/** Reads a group's record. */
export function readGroup({ view, tables, lineage }: Source, name: GroupName): GroupRecord {
  const bytes = view.get(tables.data, headKey(name));
  if (bytes === undefined) return NO_GROUP;
  const record = decodeGroup(bytes);
  return { ...record, epoch: epochIn(lineage, record.epoch) };
}

/** Reads an item. */
export function readItem(
  { view, tables }: Pick<Source, "view" | "tables">,
  name: GroupName,
  itemId: string,
): StoredItem | undefined {
  const created = view.get(tables.data, itemIdKey(name, itemId));
  if (created === undefined) return undefined;
  const createdRevision = decodeNumber(created);
  const bytes = view.get(tables.data, itemKey(name, createdRevision));
  return bytes === undefined ? undefined : decodeItem(bytes, createdRevision);
}

/** The head of a group with this record. */
export function headOf(record: GroupRecord): Head {
  return {
    position: { epoch: record.epoch, revision: record.revision },
    timestamp: record.timestamp,
  };
}

/**
 * Reads a page of items in creation order, or from the newest.
 *
 * @param places Receives the creating revision of each item, as text.
 */
export function readItems(
  source: Source,
  name: GroupName,
  position: Position,
  page: ItemPageRequest,
  places?: string[],
): Omit<ItemPage, "itemCount"> {
  const items: Item[] = [];
  let bytes = 0;
  let last = parseCursor(page.after);
  for (const { key, value } of itemEntries(source, name, last, page.descending === true)) {
    const createdRevision = numberOfKey(key);
    const { item } = decodeItem(value, createdRevision);
    bytes += item.value.size;
    if (items.length > 0 && (items.length >= page.maxCount || bytes > page.maxBytes)) {
      return { items, position, next: String(last) };
    }
    items.push(item);
    places?.push(String(createdRevision));
    last = createdRevision;
  }
  return { items, position, next: undefined };
}

/** The entries of items beyond the one that a revision created; 0: all. */
function itemEntries(
  { view, tables }: Source,
  name: GroupName,
  last: number,
  descending: boolean,
): Iterable<{ key: Buffer; value: Buffer }> {
  const end = itemKey(name, Number.MAX_SAFE_INTEGER);
  if (!descending) return view.range(tables.data, itemKey(name, last + 1), end);
  return view.reversed(tables.data, itemKey(name, 0), last === 0 ? end : itemKey(name, last));
}

/** The cursor of the page that begins with the newest items, this many; the group has more. */
export function cursorBefore({ view, tables }: Source, name: GroupName, count: number): string {
  const oldest = view.keyBefore(tables.data, itemKey(name, Number.MAX_SAFE_INTEGER), count + 1);
  if (oldest === undefined) throw new Error("The group has fewer items than its record says.");
  return String(numberOfKey(oldest));
}

/** What a read of changes is limited by, besides the log. */
export interface ChangesRequest {
  readonly from: Position;
  readonly limits: ReadLimits;
  readonly nowMs: number;
  readonly history: History;
}

/** Reads changes after a position, with whole values. */
export function readChanges(
  source: Source,
  name: GroupName,
  record: GroupRecord,
  request: ChangesRequest,
): Replay {
  const { view, tables } = source;
  const whole = materialiser((revision) => {
    const bytes = view.get(tables.data, changeKey(name, revision));
    return bytes === undefined ? undefined : decodeLogEntry(bytes, record.epoch, revision);
  });
  return readEntries(source, name, record, request, valueSizeOf, whole);
}

/** Reads changes after a position, in their smallest form. */
export function readDeltas(
  source: Source,
  name: GroupName,
  record: GroupRecord,
  request: ChangesRequest,
): Replay<LoggedChange> {
  return readEntries(source, name, record, request, sizeOfSmallest, smallest);
}

function readEntries<Change>(
  source: Source,
  name: GroupName,
  record: GroupRecord,
  { from, limits, nowMs, history }: ChangesRequest,
  sizeOf: (entry: LogEntry) => number,
  changeOf: (entry: LogEntry) => Change,
): Replay<Change> {
  const head = headOf(record).position;
  const logStart = logStartOf(record, history);
  if (!isResumable(from, head, logStart)) return { lost: true, head };
  const changes: Change[] = [];
  let bytes = 0;
  if (from.revision === head.revision) return { lost: false, changes, head };
  const entries = source.view.range(
    source.tables.data,
    changeKey(name, from.revision + 1),
    changeKey(name, Number.MAX_SAFE_INTEGER),
  );
  for (const { key, value } of entries) {
    const entry = decodeLogEntry(value, head.epoch, numberOfKey(key));
    if (changes.length === 0 && isExpired(entry.timeMs, nowMs, history))
      return { lost: true, head };
    bytes += sizeOf(entry);
    if (changes.length > 0 && (changes.length >= limits.maxCount || bytes > limits.maxBytes)) break;
    changes.push(changeOf(entry));
  }
  return { lost: false, changes, head };
}

/** Reads which changes the log holds. */
export function readLogRange(
  { view, tables }: Source,
  name: GroupName,
  record: GroupRecord,
  nowMs: number,
  history: History,
): LogRange {
  let oldest = logStartOf(record, history);
  // Few changes are expired and not swept yet.
  for (; oldest <= record.revision; oldest++) {
    const bytes = view.get(tables.data, changeKey(name, oldest));
    if (bytes !== undefined && !isExpired(entryTimeMs(bytes), nowMs, history)) break;
  }
  return { head: headOf(record).position, oldest };
}

/** Changes before this revision are beyond retention, though maybe not dropped yet. */
function logStartOf({ log, revision }: GroupRecord, { maxChanges }: History): number {
  return Math.max(log.start, revision - maxChanges + 1);
}

/** Reads ids of groups that hold items. */
export function readGroupIds(
  { view, tables }: Source,
  streamName: string,
  after: string | undefined,
  limit: number,
): string[] {
  const ids: string[] = [];
  const start = Buffer.from(`${streamName}\u0000${after ?? ""}\u0000`);
  // Names contain only bytes above NUL, so this is after all groups of the stream.
  const end = Buffer.from(`${streamName}\u0001`);
  for (const { key } of view.range(tables.groups, start, end, limit))
    ids.push(groupOfKey(key).groupId);
  return ids;
}

/** Reads groups of all streams that hold items. */
export function readGroups(
  { view, tables }: Source,
  after: GroupKey | undefined,
  limit: number,
): GroupPage {
  const groups: GroupKey[] = [];
  const start =
    after === undefined ? Buffer.from([0]) : Buffer.from(`${groupKeyText(after)}\u0000`);
  for (const { key } of view.range(tables.groups, start, Buffer.from([0xff]), limit))
    groups.push(groupOfKey(key));
  return { groups, streamCount: readCount(view, tables.meta, STREAM_COUNT) };
}

/** Key of the number of streams, in the table `meta`. */
export const STREAM_COUNT = Buffer.from("stream-count");

/** Reads a count; 0 when there is none. */
export function readCount(view: View, table: Table, key: Buffer): number {
  const bytes = view.get(table, key);
  return bytes === undefined ? 0 : decodeNumber(bytes);
}

/** Whether a group is due for a sweep. */
export function isSweepDue({ view, tables }: Source, nowMs: number): boolean {
  for (const _ of view.range(tables.due, Buffer.alloc(8), dueEnd(nowMs), 1)) return true;
  return false;
}

/** @throws StreamError PAGE_TOKEN_INVALID */
function parseCursor(after: string | undefined): number {
  if (after === undefined) return 0;
  const revision = Number(after);
  if (Number.isSafeInteger(revision) && revision > 0) return revision;
  throw new StreamError(
    "PAGE_TOKEN_INVALID",
    "page_token is not one of this listing; it may be the next_page_token of the page before.",
  );
}
