import type { ChangeEvent } from "../../core/change.ts";
import { mustTrim, type LogExtent } from "../../core/retention.ts";
import type { History } from "../../core/store.ts";
import type { Tables, View, Write } from "./disk.ts";
import { changeKey, type GroupName } from "./keys.ts";
import { EMPTY_LOG, changeExtent, encodeChange, extentOf, type LogRecord } from "./encoding.ts";

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
  /** Changes that the view does not have, oldest first; `#newAfter` is the revision before them. */
  #newChanges: ChangeEvent[] = [];
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
    let { bytes, oldestTimeMs, oldestSize } = this.#record;
    if (this.extent.count === 0) {
      oldestTimeMs = first.timeMs;
      oldestSize = first.value.size;
    }
    for (const change of changes) {
      bytes += change.value.size;
      this.#newChanges.push(change);
    }
    this.#revision += changes.length;
    this.#record = { ...this.#record, bytes, oldestTimeMs, oldestSize };
  }

  /** Trims changes beyond retention, at most `maxDrops`. @returns How many. */
  trim(nowMs: number, history: History, maxDrops: number): number {
    let dropped = 0;
    for (; dropped < maxDrops && mustTrim(this.extent, nowMs, history); dropped++) {
      const { start, bytes, oldestSize } = this.#record;
      if (oldestSize > LARGE_BYTES) this.#removeNow = true;
      const next = start === this.#revision ? undefined : this.#extentOf(start + 1);
      this.#record = {
        ...this.#record,
        start: start + 1,
        bytes: bytes - oldestSize,
        oldestTimeMs: next?.timeMs ?? 0,
        oldestSize: next?.size ?? 0,
      };
    }
    const { start, keptFrom } = this.#record;
    if (start - keptFrom >= MAX_LEFT_BEHIND || start > this.#revision) this.#removeNow = true;
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
    this.#newChanges = [];
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
        : Math.min(this.#record.start, this.#storedRevision + 1);
      for (let revision = this.#stored.keptFrom; revision < end; revision++) {
        writes.push({ table: data, key: changeKey(this.#name, revision), value: undefined });
      }
      this.#record = { ...this.#record, keptFrom: this.#record.start };
    }
    for (const change of this.#newChanges) {
      const { revision } = change.position;
      if (revision < this.#record.start) continue;
      writes.push({
        table: data,
        key: changeKey(this.#name, revision),
        value: encodeChange(change),
      });
    }
  }

  #extentOf(revision: number): { readonly timeMs: number; readonly size: number } | undefined {
    if (revision > this.#newAfter) {
      const change = this.#newChanges[revision - this.#newAfter - 1];
      return change === undefined ? undefined : { timeMs: change.timeMs, size: change.value.size };
    }
    const bytes = this.#view.get(this.#tables.data, changeKey(this.#name, revision));
    return bytes === undefined ? undefined : changeExtent(bytes);
  }
}
