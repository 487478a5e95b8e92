import type { Accepted, StoredItem } from "../../core/commit.ts";
import { keyIdOf, keysSweepMs } from "../../core/idempotency.ts";
import { mayForget, nextSweepMs, type GroupAge } from "../../core/retention.ts";
import { FewMap } from "../../core/few-map.ts";
import type { Idempotency, Remembered } from "../../core/idempotency-key.ts";
import type { Head, History } from "../../core/store.ts";
import type { Tables, View, Write } from "./disk.ts";
import { dueKey, headKey, indexKey, itemIdKey, itemKey, type GroupName } from "./keys.ts";
import { type ItemCache, cacheKey } from "./item-cache.ts";
import { KeysDraft } from "./keys-draft.ts";
import { LogDraft } from "./log-draft.ts";
import { readItem } from "./reads.ts";
import { NO_GROUP, encodeGroup, encodeItem, encodeNumber, type GroupRecord } from "./encoding.ts";

// A commit must not wait until an overlong log is trimmed; the sweep removes the rest.
const TRIM_AT_ONCE = 64;
const PRESENT = Buffer.from([1]);

interface ItemDraft {
  readonly cacheKey: string;
  /** The item in the view. */
  readonly stored: StoredItem | undefined;
  current: StoredItem | undefined;
}

/**
 * A group while a batch changes it: the state of a view with the batch's earlier commits on top.
 * Nothing is written before the writes of `collect` are submitted.
 */
export class GroupDraft {
  readonly name: GroupName;
  readonly #view: View;
  readonly #tables: Tables;
  readonly #stored: GroupRecord;
  /** The record; its log is in `#log`. */
  #record: GroupRecord;
  readonly #log: LogDraft;
  readonly #cache: Pick<ItemCache, "get">;
  readonly #items = new FewMap<string, ItemDraft>();
  readonly #windowMs: number;
  /** Undefined until they are needed. */
  #keys: KeysDraft | undefined;

  /**
   * @param stored The group's record in the view.
   * @param cache Items of the view.
   * @param windowMs How long idempotency keys are remembered.
   */
  constructor(
    name: GroupName,
    stored: GroupRecord,
    view: View,
    tables: Tables,
    cache: Pick<ItemCache, "get">,
    windowMs: number,
  ) {
    this.name = name;
    this.#windowMs = windowMs;
    this.#cache = cache;
    this.#view = view;
    this.#tables = tables;
    this.#stored = stored;
    this.#record = stored;
    this.#log = new LogDraft(name, stored.log, stored.revision, view, tables);
  }

  /** The group after the batch. Final once `collect` was called. */
  get record(): GroupRecord {
    return this.#record;
  }

  /** Its head so far. */
  get head(): Head {
    const { epoch, revision, timestamp } = this.#record;
    return { position: { epoch, revision }, timestamp };
  }

  /** Reads an item. */
  lookup(itemId: string): StoredItem | undefined {
    const draft = this.#items.get(itemId);
    if (draft !== undefined) return draft.current;
    const key = cacheKey(this.name.text, itemId);
    const stored =
      this.#cache.get(key) ??
      readItem({ view: this.#view, tables: this.#tables }, this.name, itemId);
    this.#items.set(itemId, { cacheKey: key, stored, current: stored });
    return stored;
  }

  /** What the group remembers under an idempotency key. */
  recall(idempotency: Idempotency, nowMs: number): Remembered | undefined {
    return this.#keysDraft().recall(keyIdOf(idempotency), nowMs);
  }

  /** Remembers a commit under its idempotency key. To be called after `apply`. */
  remember(
    idempotency: Idempotency,
    remembered: Remembered,
    nowMs: number,
    history: History,
  ): void {
    const keys = this.#keysDraft();
    keys.add(keyIdOf(idempotency), remembered, nowMs);
    keys.trim(nowMs, TRIM_AT_ONCE);
    const { sweepAtMs } = this.#record;
    const next = nextSweepMs(this.#age, history) ?? 0;
    if (sweepAtMs === 0 || next < sweepAtMs) this.#record = { ...this.#record, sweepAtMs: next };
  }

  /** Updates a cache with every item that was read or changed. */
  noteItems(cache: ItemCache): void {
    for (const { cacheKey: key, current } of this.#items.values()) cache.set(key, current);
  }

  /** Applies the decision of a commit. */
  apply(decision: Accepted, nowMs: number, history: History): void {
    if (decision.changes.length === 0) return;
    let { itemCount } = this.#record;
    for (const [itemId, { before, after }] of decision.writes) {
      itemCount += (after === undefined ? 0 : 1) - (before === undefined ? 0 : 1);
      this.#items.get(itemId)!.current = after;
    }
    const { position, timestamp } = decision.head;
    this.#record = { ...this.#record, ...position, timestamp, lastChangeMs: nowMs, itemCount };
    this.#log.push(decision.changes);
    this.#log.trim(nowMs, history, TRIM_AT_ONCE + 2 * decision.changes.length);
    this.#scheduleCare(history);
  }

  /** Advances the timestamp for a transient event. */
  tick(timestamp: number, history: History): void {
    this.#record = { ...this.#record, timestamp };
    this.#scheduleCare(history);
  }

  /**
   * Sweeps a group that is due: drops expired changes and idempotency keys, and forgets the group
   * when nothing is left.
   *
   * @param maxDrops Most of them to drop now; if there are more, the group stays due.
   * @returns Number of those dropped.
   */
  sweep(nowMs: number, history: History, maxDrops: number): number {
    const forgotten = this.#keysDraft().trim(nowMs, maxDrops);
    const dropped = this.#log.trim(nowMs, history, maxDrops - forgotten);
    this.#log.removeLeftBehind();
    if (mayForget(this.#age, nowMs, history)) {
      this.#log.forget();
      this.#record = NO_GROUP;
    } else {
      this.#record = { ...this.#record, sweepAtMs: nextSweepMs(this.#age, history) ?? 0 };
    }
    return forgotten + dropped;
  }

  /** Adds the group's writes. To be called once, at the end. */
  collect(writes: Write[]): void {
    this.#keys?.collect(writes);
    if (this.#record === this.#stored) return;
    const { data, groups, due } = this.#tables;
    this.#collectItems(writes);
    this.#log.collect(writes);
    if (this.#record !== NO_GROUP) this.#record = { ...this.#record, log: this.#log.record };
    const { itemCount, sweepAtMs } = this.#record;
    writes.push({
      table: data,
      key: headKey(this.name),
      value: this.#record === NO_GROUP ? undefined : encodeGroup(this.#record),
    });
    if (this.presenceChange !== 0) {
      writes.push({
        table: groups,
        key: indexKey(this.name),
        value: itemCount > 0 ? PRESENT : undefined,
      });
    }
    const before = this.#stored.sweepAtMs;
    if (before === sweepAtMs) return;
    if (before > 0) writes.push({ table: due, key: dueKey(before, this.name), value: undefined });
    if (sweepAtMs > 0)
      writes.push({ table: due, key: dueKey(sweepAtMs, this.name), value: PRESENT });
  }

  /** By how much the batch changes the number of groups that hold items: -1, 0 or 1. */
  get presenceChange(): number {
    return (this.#record.itemCount > 0 ? 1 : 0) - (this.#stored.itemCount > 0 ? 1 : 0);
  }

  get #age(): GroupAge {
    return {
      ...this.#record,
      log: this.#log.extent,
      keysSweepMs: this.#keys && keysSweepMs(this.#keys.extent, this.#windowMs),
    };
  }

  #keysDraft(): KeysDraft {
    this.#keys ??= new KeysDraft(this.name, this.#view, this.#tables, this.#windowMs);
    return this.#keys;
  }

  #collectItems(writes: Write[]): void {
    const { data } = this.#tables;
    // Removals come first: a group that was forgotten and written again reuses its old keys.
    for (const { stored, current } of this.#items.values()) {
      if (stored === undefined || stored.createdRevision === current?.createdRevision) continue;
      writes.push({
        table: data,
        key: itemKey(this.name, stored.createdRevision),
        value: undefined,
      });
    }
    for (const [itemId, { stored, current }] of this.#items) {
      if (stored === current) continue;
      const created = current?.createdRevision;
      if (current !== undefined) {
        writes.push({
          table: data,
          key: itemKey(this.name, current.createdRevision),
          value: encodeItem(current.item),
        });
      }
      if (stored?.createdRevision === created) continue;
      const value = created === undefined ? undefined : encodeNumber(created);
      writes.push({ table: data, key: itemIdKey(this.name, itemId), value });
    }
  }

  /**
   * A group has at most one entry in the due index; an existing entry is never too late. A group with
   * idempotency keys has one.
   */
  #scheduleCare(history: History): void {
    if (this.#record.sweepAtMs > 0) return;
    const sweepAtMs = nextSweepMs(this.#age, history);
    if (sweepAtMs !== undefined) this.#record = { ...this.#record, sweepAtMs };
  }
}
