import type { ChangeEvent } from "../../core/change.ts";
import { type LogEntry, entryOf, entrySize } from "../../core/log-entry.ts";
import { pinsFrom, storedFrom, withPin } from "../../core/log-pins.ts";
import { mustTrim, type LogExtent } from "../../core/retention.ts";
import type { History } from "../../core/store.ts";
import type { Tables, View, Write } from "./disk.ts";
import { changeKey, type GroupName } from "./keys.ts";
import {
  EMPTY_LOG,
  decodeLogEntry,
  encodeLogEntry,
  entryExtent,
  extentOf,
  type LogRecord,
} from "./encoding.ts";

// Trimmed changes stay on the disk until there are this many, because each removal touches a page
// that the commit does not use otherwise. Large ones are removed at once.
const MAX_LEFT_BEHIND = 32;
const LARGE_BYTES = 1024;

/** A group's log while a batch changes it. */
export class LogDraft {
  readonly #name: GroupName;
  readonly #view: View;
  readonly #tables: Tables;
  readonly #stored: LogRecord;
  /** Revision of the last change in the view. */
  readonly #storedRevision: number;
  #record: LogRecord;
  /** Revision of the group's last change. */
  #revision: number;
  /** Entries that the view does not have, oldest first; `#newAfter` is the revision before them. */
  #newEntries: LogEntry[] = [];
  #newAfter: number;
  #removeNow = false;

  /** @param stored The log in the view, whose last change has `revision`. */
  constructor(name: GroupName, stored: LogRecord, revision: number, view: View, tables: Tables) {
    this.#name = name;
    this.#view = view;
    this.#tables = tables;
    this.#stored = stored;
    this.#storedRevision = revision;
    this.#record = stored;
    this.#revision = revision;
    this.#newAfter = revision;
  }

  /** The log after the batch. */
  get record(): LogRecord {
    return this.#record;
  }

  /** The extent that retention uses. */
  get extent(): LogExtent {
    return extentOf(this.#record, this.#revision);
  }

  /** Appends changes. */
  push(changes: readonly ChangeEvent[]): void {
    const [first] = changes;
    if (first === undefined) return;
    let { bytes, oldestTimeMs, oldestSize, pins } = this.#record;
    const { start } = this.#record;
    const wasEmpty = this.extent.count === 0;
    for (const change of changes) {
      const entry = entryOf(change, () => this.#entryAt(change.delta?.baseRevision ?? 0), start);
      this.#revision += 1;
      if (entry.kind === "delta") pins = withPin(pins, entry.chain.wholeRevision, this.#revision);
      this.#newEntries.push(entry);
      bytes += entrySize(entry);
      if (wasEmpty && change === first) {
        oldestTimeMs = first.timeMs;
        oldestSize = entrySize(entry);
      }
    }
    this.#record = { ...this.#record, bytes, oldestTimeMs, oldestSize, pins };
  }

  /** Trims changes beyond retention, at most `maxDrops`. @returns How many. */
  trim(nowMs: number, history: History, maxDrops: number): number {
    let dropped = 0;
    for (; dropped < maxDrops && mustTrim(this.extent, nowMs, history); dropped++) {
      const { start, bytes, oldestSize, pins } = this.#record;
      if (oldestSize > LARGE_BYTES) this.#removeNow = true;
      const next = start === this.#revision ? undefined : this.#extentOf(start + 1);
      const needed = pinsFrom(pins, start + 1);
      if (needed !== pins) this.#removeNow = true;
      this.#record = {
        ...this.#record,
        start: start + 1,
        pins: needed,
        bytes: bytes - oldestSize,
        oldestTimeMs: next?.timeMs ?? 0,
        oldestSize: next?.size ?? 0,
      };
    }
    if (this.#neededFrom - this.#record.keptFrom >= MAX_LEFT_BEHIND) this.#removeNow = true;
    if (this.#record.start > this.#revision) this.#removeNow = true;
    return dropped;
  }

  /** Removes all trimmed changes from the disk, however few. */
  removeLeftBehind(): void {
    this.#removeNow = true;
  }

  /** Forgets the history. The log must be empty. */
  forget(): void {
    this.#removeNow = true;
    this.#record = EMPTY_LOG;
    this.#newEntries = [];
    this.#newAfter = 0;
    this.#revision = 0;
  }

  /** Adds the log's writes. To be called once, before `record` is written. */
  collect(writes: Write[]): void {
    const { data } = this.#tables;
    const forgotten = this.#newAfter < this.#storedRevision;
    if (this.#removeNow) {
      const end = forgotten
        ? this.#storedRevision + 1
        : Math.min(this.#neededFrom, this.#storedRevision + 1);
      for (let revision = this.#stored.keptFrom; revision < end; revision++) {
        writes.push({ table: data, key: changeKey(this.#name, revision), value: undefined });
      }
      this.#record = { ...this.#record, keptFrom: this.#neededFrom };
    }
    for (const entry of this.#newEntries) {
      const { revision } = entry.position;
      if (revision < this.#neededFrom) continue;
      writes.push({
        table: data,
        key: changeKey(this.#name, revision),
        value: encodeLogEntry(entry),
      });
    }
  }

  /** Revision of the oldest entry that has to stay on the disk. */
  get #neededFrom(): number {
    return storedFrom(this.#record.pins, this.#record.start);
  }

  #entryAt(revision: number): LogEntry | undefined {
    if (revision > this.#newAfter) return this.#newEntries[revision - this.#newAfter - 1];
    const bytes = this.#view.get(this.#tables.data, changeKey(this.#name, revision));
    return bytes === undefined ? undefined : decodeLogEntry(bytes, "", revision);
  }

  #extentOf(revision: number): { readonly timeMs: number; readonly size: number } | undefined {
    if (revision > this.#newAfter) {
      const entry = this.#newEntries[revision - this.#newAfter - 1];
      return entry && { timeMs: entry.timeMs, size: entrySize(entry) };
    }
    const bytes = this.#view.get(this.#tables.data, changeKey(this.#name, revision));
    return bytes === undefined ? undefined : entryExtent(bytes);
  }
}
