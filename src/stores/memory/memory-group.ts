import type { ChangeEvent, Item, LoggedChange } from "../../core/change.ts";
import { decideCommit } from "../../core/commit.ts";
import { nextTimestamp } from "../../core/group-clock.ts";
import type { StoredItem } from "../../core/commit.ts";
import { StreamError } from "../../core/errors.ts";
import { keyIdOf, keysSweepMs } from "../../core/idempotency.ts";
import {
  type LogEntry,
  materialiser,
  sizeOfSmallest,
  smallest,
  valueSizeOf,
} from "../../core/log-entry.ts";
import type { LogRange } from "../../core/log-range.ts";
import type { GroupKey } from "../../core/names.ts";
import { groupKeyText } from "../../core/names.ts";
import type { Fired } from "../../core/outbox.ts";
import { ORIGIN, isResumable } from "../../core/position.ts";
import type { Position } from "../../core/position.ts";
import { isExpired, mustTrim } from "../../core/retention.ts";
import type { GroupAge } from "../../core/retention.ts";
import type { Idempotency, Remembered } from "../../core/idempotency-key.ts";
import type {
  Commit,
  Head,
  History,
  ItemPage,
  ItemPageRequest,
  Outcome,
  ReadLimits,
  Replay,
} from "../../core/store.ts";
import { ChangeLog } from "./change-log.ts";
import type { LifetimeIndex } from "./lifetime-index.ts";
import { RememberedKeys } from "./remembered-keys.ts";
import { SortedMap } from "./sorted-map.ts";

/** The newest items of a group. */
export interface NewestItems {
  /** In creation order. */
  readonly items: readonly Item[];
  /** For each item: where a descending page begins with the item before it. */
  readonly places: readonly string[];
  /** Number of items of the group. */
  readonly total: number;
}

/** The state of one group: items, log, head and clock. */
export class MemoryGroup {
  /** Its names. */
  readonly key: GroupKey;
  /** Its names as one string. */
  readonly text: string;
  /** When the group is due for a sweep; undefined: not before its next change. Set by the store. */
  sweepAtMs: number | undefined;
  #head: Head = { position: ORIGIN, timestamp: 0 };
  #lastChangeMs = 0;
  readonly #items = new Map<string, StoredItem>();
  readonly #order = new SortedMap<number, Item>((a, b) => a - b);
  readonly #log = new ChangeLog();
  readonly #lifetimes: LifetimeIndex;
  /** Undefined until a commit has an idempotency key. */
  #keys: RememberedKeys | undefined;
  readonly #windowMs: number;

  /**
   * A group that was never written.
   *
   * @param windowMs How long it remembers idempotency keys.
   * @param lifetimes Index of the store's items with a lifetime.
   */
  constructor(key: GroupKey, windowMs: number, lifetimes: LifetimeIndex) {
    this.key = key;
    this.text = groupKeyText(key);
    this.#windowMs = windowMs;
    this.#lifetimes = lifetimes;
  }

  /** Its head. */
  get head(): Head {
    return this.#head;
  }

  /** Number of its items. */
  get itemCount(): number {
    return this.#items.size;
  }

  /** Inputs of its retention. */
  get age(): GroupAge {
    return {
      log: this.#log.extent,
      itemCount: this.#items.size,
      lastChangeMs: this.#lastChangeMs,
      timestamp: this.#head.timestamp,
      keysSweepMs: this.#keys && keysSweepMs(this.#keys.extent, this.#windowMs),
    };
  }

  /** What it remembers under an idempotency key. */
  recall(idempotency: Idempotency, nowMs: number): Remembered | undefined {
    return this.#keys?.get(keyIdOf(idempotency), nowMs);
  }

  /** Applies one commit, all or nothing. */
  commit(
    commit: Commit,
    nowMs: number,
    floor: number,
    newEpoch: () => string,
  ): {
    readonly outcome: Outcome;
    readonly changes: readonly ChangeEvent[];
    readonly fired: readonly Fired[];
    /** Whether it has a new idempotency key. */
    readonly isRemembered: boolean;
  } {
    const decision = decideCommit(commit, {
      head: this.#head,
      lookup: (itemId) => this.#items.get(itemId),
      recall: (idempotency) => this.recall(idempotency, nowMs),
      nowMs,
      floor,
      newEpoch,
    });
    if (!decision.ok) return { outcome: decision, changes: [], fired: [], isRemembered: false };
    for (const [itemId, { before, after: written }] of decision.writes) {
      const after = this.#indexed(before, written);
      if (before !== undefined && before.createdRevision !== after?.createdRevision) {
        this.#order.delete(before.createdRevision);
      }
      if (after === undefined) {
        this.#items.delete(itemId);
        continue;
      }
      this.#items.set(itemId, after);
      this.#order.set(after.createdRevision, after.item);
    }
    for (const change of decision.changes) this.#log.push(change);
    if (decision.changes.length > 0) this.#lastChangeMs = nowMs;
    this.#head = decision.head;
    const { outcome, changes, fired, remember } = decision;
    if (remember !== undefined && commit.idempotency !== undefined) {
      this.#keys ??= new RememberedKeys(this.#windowMs);
      this.#keys.add(keyIdOf(commit.idempotency), remember, nowMs);
    }
    return { outcome, changes, fired, isRemembered: remember !== undefined };
  }

  /** Keeps the index of lifetimes in step with a write. @returns The new state to store. */
  #indexed(before: StoredItem | undefined, after: StoredItem | undefined): StoredItem | undefined {
    const [old, lifetime] = [before?.item.lifetime, after?.item.lifetime];
    // An update that keeps the lifetime keeps the object.
    if (old === lifetime) return after;
    if (old !== undefined) this.#lifetimes.remove(old);
    if (after === undefined || lifetime === undefined) return after;
    const indexed = this.#lifetimes.add(this.key, after.item.itemId, lifetime);
    return { ...after, item: { ...after.item, lifetime: indexed } };
  }

  /** Takes the next timestamp, for a transient event. */
  tick(nowMs: number, floor: number): Head {
    this.#head = { ...this.#head, timestamp: nextTimestamp(this.#head.timestamp, nowMs, floor) };
    return this.#head;
  }

  /** Trims the log and the idempotency keys to their limits. */
  trim(nowMs: number, history: History): void {
    this.#keys?.trim(nowMs);
    while (mustTrim(this.#log.extent, nowMs, history)) this.#log.dropOldest();
  }

  /** Reads one item. */
  get(itemId: string): Item | undefined {
    return this.#items.get(itemId)?.item;
  }

  /** Reads a page of items in creation order, or from the newest. */
  list(page: ItemPageRequest): ItemPage {
    const { position } = this.#head;
    const items: Item[] = [];
    let bytes = 0;
    let last: number | undefined;
    const after = cursor(page.after);
    const entries =
      page.descending === true ? this.#order.reversed(after) : this.#order.entries(after);
    for (const [createdRevision, item] of entries) {
      bytes += item.value.size;
      if (items.length > 0 && (items.length >= page.maxCount || bytes > page.maxBytes)) {
        return { items, position, itemCount: this.itemCount, next: String(last) };
      }
      items.push(item);
      last = createdRevision;
    }
    return { items, position, itemCount: this.itemCount, next: undefined };
  }

  /** The newest items, at most `count`, in creation order. */
  newest(count: number): NewestItems {
    const items: Item[] = [];
    const places: string[] = [];
    for (const [createdRevision, item] of this.#order.reversed()) {
      if (items.length === count) break;
      items.push(item);
      places.push(String(createdRevision));
    }
    return { items: items.reverse(), places: places.reverse(), total: this.#order.size };
  }

  /** Reads changes after a position, with whole values. */
  since(from: Position, limits: ReadLimits, nowMs: number, history: History): Replay {
    const whole = materialiser((revision) => this.#log.at(revision));
    return this.#read(from, limits, nowMs, history, valueSizeOf, whole);
  }

  /** Reads changes after a position, in their smallest form. */
  deltasSince(
    from: Position,
    limits: ReadLimits,
    nowMs: number,
    history: History,
  ): Replay<LoggedChange> {
    return this.#read(from, limits, nowMs, history, sizeOfSmallest, smallest);
  }

  #read<Change>(
    from: Position,
    limits: ReadLimits,
    nowMs: number,
    history: History,
    sizeOf: (entry: LogEntry) => number,
    changeOf: (entry: LogEntry) => Change,
  ): Replay<Change> {
    const head = this.#head.position;
    if (!isResumable(from, head, this.#log.start)) return { lost: true, head };
    const changes: Change[] = [];
    let bytes = 0;
    for (let revision = from.revision + 1; revision <= head.revision; revision++) {
      const entry = this.#log.at(revision)!;
      // Expired, but not swept yet.
      if (changes.length === 0 && isExpired(entry.timeMs, nowMs, history))
        return { lost: true, head };
      bytes += sizeOf(entry);
      if (changes.length > 0 && (changes.length >= limits.maxCount || bytes > limits.maxBytes))
        break;
      changes.push(changeOf(entry));
    }
    return { lost: false, changes, head };
  }

  /** Reads which changes the log holds. */
  logRange(nowMs: number, history: History): LogRange {
    const head = this.#head.position;
    let oldest = this.#log.start;
    // Few changes are expired and not swept yet.
    while (oldest <= head.revision && isExpired(this.#log.at(oldest)!.timeMs, nowMs, history))
      oldest++;
    return { head, oldest };
  }
}

/** @throws StreamError PAGE_TOKEN_INVALID */
function cursor(after: string | undefined): number | undefined {
  if (after === undefined) return undefined;
  const revision = Number(after);
  if (Number.isSafeInteger(revision) && revision > 0) return revision;
  throw new StreamError(
    "PAGE_TOKEN_INVALID",
    "page_token is not one of this listing; it may be the next_page_token of the page before.",
  );
}
