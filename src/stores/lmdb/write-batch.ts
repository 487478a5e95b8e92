import { NO_AUTHOR } from "../../core/author.ts";
import type { GroupEvent, TransientEvent } from "../../core/change.ts";
import { DATA_FORMATS, type DataFormat } from "../../core/data-format.ts";
import { asksForLifetime, decideCommit } from "../../core/commit.ts";
import { type GroupClock, nextTimestamp } from "../../core/group-clock.ts";
import { type GroupKey, groupKeyText } from "../../core/names.ts";
import type { Fired, OutboxEntry } from "../../core/outbox.ts";
import type { HistoryOf } from "../../core/retention.ts";
import type { Broadcast, Commit, Outcome } from "../../core/store.ts";
import type { Table, Tables, View, Write } from "./disk.ts";
import { formatWrite } from "./folder/format.ts";
import { GroupDraft } from "./group-draft.ts";
import { encodeEntry } from "./outbox-encoding.ts";
import { dueEnd, groupOfKey, type GroupName } from "./keys.ts";
import type { ItemCache } from "./item-cache.ts";
import { STREAM_COUNT, readCount } from "./reads.ts";
import { encodeNumber, type GroupRecord } from "./encoding.ts";

/** Dependencies of a batch. */
export interface BatchContext {
  readonly tables: Tables;
  /** The state that the batch changes. */
  readonly view: View;
  /** A group's names and its record in the view. */
  readonly load: (key: GroupKey) => { readonly name: GroupName; readonly record: GroupRecord };
  /** Items of the view. */
  readonly items: Pick<ItemCache, "get">;
  readonly historyOf: HistoryOf;
  /** How long idempotency keys are remembered, in milliseconds. */
  readonly windowMs: number;
  readonly clock: () => number;
  readonly groupClock: Pick<GroupClock, "floor">;
  /** When the lineage of the data began, in Unix milliseconds; 0: it is the first one. */
  readonly beganMs: number;
  readonly newEpoch: () => string;
  /** The format of the data. */
  readonly format: DataFormat;
  /** Sequence number of the newest entry that was ever added to the outbox. */
  readonly lastSeq: number;
}

/** Events of one group, to be announced in order. */
export interface Announcement {
  /** Its `groupKeyText`. */
  readonly group: string;
  readonly events: readonly GroupEvent[];
}

/**
 * Several commits that are written to the disk together. Each sees the ones before it, and each is
 * all or nothing; together they make one set of writes.
 */
export class WriteBatch {
  /** Events to announce once the writes are durable. */
  readonly announcements: Announcement[] = [];
  /** Entries that it adds to the outbox. */
  readonly fired: OutboxEntry[] = [];
  /** Writes that belong to no group. */
  readonly #others: Write[] = [];
  /** Bytes of the values announced. */
  #bytes = 0;
  #format: DataFormat;
  readonly #context: BatchContext;
  readonly #drafts = new Map<string, GroupDraft>();

  constructor(context: BatchContext) {
    this.#context = context;
    this.#format = context.format;
  }

  /** Its size: bytes of the values in its commits and events. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The format of the data after it. */
  get format(): DataFormat {
    return this.#format;
  }

  /** Runs one commit. */
  commit(key: GroupKey, commit: Commit): Outcome {
    const { clock, groupClock, beganMs, newEpoch, historyOf } = this.#context;
    const draft = this.#draft(key);
    const nowMs = clock();
    const decision = decideCommit(commit, {
      head: draft.head,
      lookup: (itemId) => draft.lookup(itemId),
      recall: (idempotency) => draft.recall(idempotency, nowMs),
      nowMs,
      floor: groupClock.floor(draft.head.timestamp, beganMs),
      newEpoch,
    });
    if (!decision.ok) return decision;
    draft.apply(decision, nowMs, historyOf(key.streamName));
    for (const change of decision.changes) {
      this.#bytes += change.value.size;
      if (change.delta !== undefined) this.#require(DATA_FORMATS.deltas);
      if (change.cause !== undefined) this.#require(DATA_FORMATS.lifetimes);
    }
    if (commit.mutations.some(asksForLifetime)) this.#require(DATA_FORMATS.lifetimes);
    if (decision.changes.length > 0) {
      this.announcements.push({ group: draft.name.text, events: decision.changes });
      if ((commit.author ?? NO_AUTHOR) !== NO_AUTHOR) this.#require(DATA_FORMATS.authors);
    }
    for (const fired of decision.fired) this.#fire(key, fired);
    if (commit.idempotency !== undefined && decision.remember !== undefined) {
      draft.remember(commit.idempotency, decision.remember, nowMs, historyOf(key.streamName));
      this.#require(DATA_FORMATS.keys);
    }
    return decision.outcome;
  }

  /** Takes the group's next timestamp for a transient event. */
  broadcast(key: GroupKey, { fires, isQuiet, author = NO_AUTHOR, ...message }: Broadcast): void {
    const { clock, groupClock, beganMs, historyOf } = this.#context;
    const draft = this.#draft(key);
    const last = draft.head.timestamp;
    const timestamp = nextTimestamp(last, clock(), groupClock.floor(last, beganMs));
    draft.tick(timestamp, historyOf(key.streamName));
    this.#bytes += message.value.size;
    const event: TransientEvent = {
      kind: "event",
      ...message,
      after: draft.head.position,
      timestamp,
      author,
    };
    if (isQuiet !== true) this.announcements.push({ group: draft.name.text, events: [event] });
    if (fires !== undefined) this.#fire(key, { event, firing: fires });
  }

  /** Adds writes that belong to no group, made from the state before the batch. */
  write(writesOn: (view: View) => readonly Write[]): void {
    this.#others.push(...writesOn(this.#context.view));
  }

  /**
   * Sweeps groups that are due, the earliest first.
   *
   * @returns Whether some are left.
   */
  sweep(maxGroups: number, maxDrops: number): boolean {
    const { tables, view, clock, historyOf } = this.#context;
    const nowMs = clock();
    const due = Array.from(view.range(tables.due, Buffer.alloc(8), dueEnd(nowMs), maxGroups));
    let drops = 0;
    for (const { key } of due) {
      const group = groupOfKey(key.subarray(8));
      const history = historyOf(group.streamName);
      drops += this.#draft(group).sweep(nowMs, history, maxDrops - drops);
      if (drops >= maxDrops) return true;
    }
    return due.length >= maxGroups;
  }

  /** All writes of the batch. */
  writes(): Write[] {
    const { tables, view, format } = this.#context;
    const writes = [...this.#others];
    if (this.#format !== format) writes.push(formatWrite(tables, this.#format));
    for (const entry of this.fired) {
      const key = encodeNumber(entry.seq);
      writes.push({ table: tables.outbox, key, value: encodeEntry(entry) });
    }
    const streams = new Map<string, number>();
    for (const draft of this.#drafts.values()) {
      draft.collect(writes);
      const change = draft.presenceChange;
      if (change === 0) continue;
      const { streamName } = draft.name.key;
      streams.set(streamName, (streams.get(streamName) ?? 0) + change);
    }
    let streamChange = 0;
    for (const [streamName, change] of streams) {
      if (change === 0) continue;
      const key = Buffer.from(streamName);
      const before = readCount(view, tables.streams, key);
      streamChange += (before + change > 0 ? 1 : 0) - (before > 0 ? 1 : 0);
      writes.push(countWrite(tables.streams, key, before + change));
    }
    if (streamChange !== 0) {
      writes.push(
        countWrite(
          tables.meta,
          STREAM_COUNT,
          readCount(view, tables.meta, STREAM_COUNT) + streamChange,
        ),
      );
    }
    return writes;
  }

  /** The groups after the batch. */
  *records(): Generator<{ readonly name: GroupName; readonly record: GroupRecord }> {
    for (const { name, record } of this.#drafts.values()) yield { name, record };
  }

  /** Updates a cache with every item that was read or changed. */
  noteItems(cache: ItemCache): void {
    for (const draft of this.#drafts.values()) draft.noteItems(cache);
  }

  #require(format: DataFormat): void {
    if (format > this.#format) this.#format = format;
  }

  #fire(group: GroupKey, { event, firing }: Fired): void {
    const seq = this.#context.lastSeq + this.fired.length + 1;
    this.fired.push({ ...firing, seq, group, event });
    // The outbox holds a second copy.
    this.#bytes += event.value.size;
  }

  #draft(key: GroupKey): GroupDraft {
    const text = groupKeyText(key);
    const known = this.#drafts.get(text);
    if (known !== undefined) return known;
    const { name, record } = this.#context.load(key);
    const { view, tables, items, windowMs } = this.#context;
    const draft = new GroupDraft(name, record, view, tables, items, windowMs);
    this.#drafts.set(text, draft);
    return draft;
  }
}

function countWrite(table: Table, key: Buffer, count: number): Write {
  return { table, key, value: count === 0 ? undefined : encodeNumber(count) };
}
