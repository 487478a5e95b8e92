import type { ChangeEvent } from "../../core/change.ts";
import type { Accepted, StoredItem } from "../../core/commit.ts";
import { mayForget, mustTrim, nextCareMs } from "../../core/retention.ts";
import type { Head, History } from "../../core/store.ts";
import type { Tables, View, Write } from "./disk.ts";
import {
  changeKey,
  dueKey,
  headKey,
  indexKey,
  itemIdKey,
  itemKey,
  readSafeInteger,
  writeSafeInteger,
} from "./keys.ts";
import type { GroupName } from "./keys.ts";
import {
  NO_GROUP,
  ageOf,
  changeExtent,
  decodeItem,
  encodeChange,
  encodeGroup,
  encodeItem,
} from "./records.ts";
import type { GroupRecord } from "./records.ts";

// Nobody may wait for the rest of an overlong log; the sweeper takes it.
const TRIM_AT_ONCE = 64;

interface ItemDraft {
  /** As the view has it. */
  readonly stored: StoredItem | undefined;
  current: StoredItem | undefined;
}

/**
 * A group while a batch changes it: the state of a view with the batch's earlier commits on top.
 * Nothing is written before `writes` are submitted.
 */
export class GroupDraft {
  readonly name: GroupName;
  readonly #view: View;
  readonly #tables: Tables;
  readonly #stored: GroupRecord;
  #record: GroupRecord;
  readonly #items = new Map<string, ItemDraft>();
  /** Changes that the view does not have, oldest first; `#newAfter` is the revision before them. */
  #newChanges: ChangeEvent[] = [];
  #newAfter: number;
  /** Stored changes before it have to go. */
  #storedLogStart: number;

  /** @param stored The group's record in the view. */
  constructor(name: GroupName, stored: GroupRecord, view: View, tables: Tables) {
    this.name = name;
    this.#view = view;
    this.#tables = tables;
    this.#stored = stored;
    this.#record = stored;
    this.#newAfter = stored.revision;
    this.#storedLogStart = stored.logStart;
  }

  /** The group as it stands; NO_GROUP once forgotten. */
  get record(): GroupRecord {
    return this.#record;
  }

  /** Where it stands. */
  get head(): Head {
    const { epoch, revision, timestamp } = this.#record;
    return { position: { epoch, revision }, timestamp };
  }

  /** Reads an item. */
  lookup(itemId: string): StoredItem | undefined {
    const draft = this.#items.get(itemId);
    if (draft !== undefined) return draft.current;
    const stored = readItem(this.#view, this.#tables, this.name, itemId);
    this.#items.set(itemId, { stored, current: stored });
    return stored;
  }

  /** Takes over what a commit decided. */
  apply(decision: Accepted, nowMs: number, history: History): void {
    let { itemCount, logBytes, oldestTimeMs, oldestSize } = this.#record;
    for (const [itemId, { before, after }] of decision.writes) {
      itemCount += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
      this.#items.get(itemId)!.current = after;
    }
    const first = decision.changes[0];
    if (first === undefined) return;
    if (this.#record.logStart > this.#record.revision) {
      oldestTimeMs = first.timeMs;
      oldestSize = first.value.size;
    }
    for (const change of decision.changes) {
      logBytes += change.value.size;
      this.#newChanges.push(change);
    }
    const { position, timestamp } = decision.head;
    this.#record = {
      ...this.#record,
      epoch: position.epoch,
      revision: position.revision,
      timestamp,
      lastChangeMs: nowMs,
      itemCount,
      logBytes,
      oldestTimeMs,
      oldestSize,
    };
    this.trim(nowMs, history, TRIM_AT_ONCE + 2 * decision.changes.length);
    this.#scheduleCare(history);
  }

  /** Takes a timestamp for an event that is not a change. */
  tick(timestamp: number, history: History): void {
    this.#record = { ...this.#record, timestamp };
    this.#scheduleCare(history);
  }

  /**
   * Looks after a group that is due: drops expired changes, and forgets it when nothing is left.
   *
   * @param maxDrops Most changes to drop now; with more to drop the group stays due.
   * @returns Number of changes dropped.
   */
  care(nowMs: number, history: History, maxDrops: number): number {
    const dropped = this.trim(nowMs, history, maxDrops);
    if (mayForget(ageOf(this.#record), nowMs, history)) {
      this.#record = NO_GROUP;
      this.#newChanges = [];
      this.#newAfter = 0;
    } else {
      this.#record = { ...this.#record, careMs: nextCareMs(ageOf(this.#record), history) ?? 0 };
    }
    return dropped;
  }

  /** Drops what the log may no longer hold, at most `maxDrops` changes. @returns How many. */
  trim(nowMs: number, history: History, maxDrops: number): number {
    let dropped = 0;
    while (dropped < maxDrops && mustTrim(ageOf(this.#record).log, nowMs, history)) {
      const logStart = this.#record.logStart + 1;
      if (this.#record.logStart <= this.#stored.revision) this.#storedLogStart = logStart;
      const next = logStart > this.#record.revision ? undefined : this.#extentOf(logStart);
      this.#record = {
        ...this.#record,
        logStart,
        logBytes: this.#record.logBytes - this.#record.oldestSize,
        oldestTimeMs: next?.timeMs ?? 0,
        oldestSize: next?.size ?? 0,
      };
      dropped += 1;
    }
    return dropped;
  }

  /** Adds everything that has to be written for this group. */
  collect(writes: Write[]): void {
    const { data, groups, due } = this.#tables;
    const stored = this.#stored;
    const record = this.#record;
    if (record === stored) return;
    // What goes comes first: a group that was forgotten and written again uses old keys anew.
    for (let revision = stored.logStart; revision < this.#storedLogStart; revision++) {
      writes.push({ table: data, key: changeKey(this.name, revision), value: undefined });
    }
    for (const { stored: before, current } of this.#items.values()) {
      if (before === undefined || before.createdRevision === current?.createdRevision) continue;
      writes.push({
        table: data,
        key: itemKey(this.name, before.createdRevision),
        value: undefined,
      });
    }
    for (const [itemId, item] of this.#items) this.#collectItem(itemId, item, writes);
    for (const change of this.#newChanges) {
      const { revision } = change.position;
      if (revision < record.logStart) continue;
      writes.push({
        table: data,
        key: changeKey(this.name, revision),
        value: encodeChange(change),
      });
    }
    writes.push({
      table: data,
      key: headKey(this.name),
      value: record === NO_GROUP ? undefined : encodeGroup(record),
    });
    if (stored.itemCount > 0 !== record.itemCount > 0) {
      writes.push({
        table: groups,
        key: indexKey(this.name),
        value: record.itemCount > 0 ? PRESENT : undefined,
      });
    }
    if (stored.careMs === record.careMs) return;
    if (stored.careMs > 0)
      writes.push({ table: due, key: dueKey(stored.careMs, this.name), value: undefined });
    if (record.careMs > 0)
      writes.push({ table: due, key: dueKey(record.careMs, this.name), value: PRESENT });
  }

  /** By how much the batch changes the number of groups that hold items: -1, 0 or 1. */
  get presenceChange(): number {
    return (this.#record.itemCount > 0 ? 1 : 0) - (this.#stored.itemCount > 0 ? 1 : 0);
  }

  #collectItem(itemId: string, { stored, current }: ItemDraft, writes: Write[]): void {
    if (stored === current) return;
    const { data } = this.#tables;
    if (current !== undefined) {
      writes.push({
        table: data,
        key: itemKey(this.name, current.createdRevision),
        value: encodeItem(current.item),
      });
    }
    if (stored?.createdRevision === current?.createdRevision) return;
    writes.push({
      table: data,
      key: itemIdKey(this.name, itemId),
      value: current === undefined ? undefined : encodeRevision(current.createdRevision),
    });
  }

  #extentOf(revision: number): { readonly timeMs: number; readonly size: number } | undefined {
    if (revision > this.#newAfter) {
      const change = this.#newChanges[revision - this.#newAfter - 1];
      return change === undefined ? undefined : { timeMs: change.timeMs, size: change.value.size };
    }
    const bytes = this.#view.get(this.#tables.data, changeKey(this.name, revision));
    return bytes === undefined ? undefined : changeExtent(bytes);
  }

  /** A group has at most one entry in the due index; what is there is never later than needed. */
  #scheduleCare(history: History): void {
    if (this.#record.careMs > 0) return;
    this.#record = { ...this.#record, careMs: nextCareMs(ageOf(this.#record), history) ?? 0 };
  }
}

const PRESENT = Buffer.from([1]);

/** Reads an item from a view. */
export function readItem(
  view: View,
  tables: Tables,
  name: GroupName,
  itemId: string,
): StoredItem | undefined {
  const created = view.get(tables.data, itemIdKey(name, itemId));
  if (created === undefined) return undefined;
  const createdRevision = readSafeInteger(created, 0);
  const bytes = view.get(tables.data, itemKey(name, createdRevision));
  return bytes === undefined ? undefined : decodeItem(bytes, createdRevision);
}

function encodeRevision(revision: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  writeSafeInteger(bytes, revision, 0);
  return bytes;
}
