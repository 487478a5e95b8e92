import type { Outbox, OutboxHead, Settled } from "../../core/outbox.ts";
import type { Tables, View, Write } from "./disk.ts";
import { decodeEntry, decodeHead } from "./outbox-records.ts";
import { decodeNumber, encodeNumber } from "./records.ts";

/*
 *   table outbox: seq (8 bytes)               entry
 *   table settled: seq (8 bytes) trigger-id   present: the trigger is done with an entry that is kept for others
 */

/** What the outbox works with. */
export interface LmdbOutboxContext {
  readonly tables: Tables;
  /** Runs a read on the latest durable state. */
  readonly read: <T>(work: (view: View) => T) => Promise<T>;
  /** Writes along with the next batch. Resolves when durable. */
  readonly write: (writesOn: (view: View) => readonly Write[]) => Promise<void>;
}

/** The outbox of the store, and its way to be told of new entries. */
export interface LmdbOutbox extends Outbox {
  /** Tells the watchers. */
  announce(heads: readonly OutboxHead[]): void;
}

const PRESENT = Buffer.from([1]);

/** The outbox on disk: one partition. */
export function createLmdbOutbox({ tables, read, write }: LmdbOutboxContext): LmdbOutbox {
  const listeners = new Set<{ readonly tell: (heads: readonly OutboxHead[]) => void }>();
  return {
    partitions: 1,
    announce(heads) {
      // Not at once: the writers, whose batch it was, have nothing to do with what a listener does.
      for (const entry of listeners)
        queueMicrotask(() => void (listeners.has(entry) && entry.tell(heads)));
    },
    scan: (_partition, after, limit) =>
      read((view) => {
        const heads: OutboxHead[] = [];
        const entries = view.range(
          tables.outbox,
          encodeNumber(after + 1),
          encodeNumber(Number.MAX_SAFE_INTEGER),
          limit,
        );
        for (const { key, value } of entries)
          heads.push(unsettled(view, tables, decodeHead(decodeNumber(key), value)));
        return heads;
      }),
    read: (_partition, seq) =>
      read((view) => {
        const bytes = view.get(tables.outbox, encodeNumber(seq));
        return bytes === undefined ? undefined : unsettled(view, tables, decodeEntry(seq, bytes));
      }),
    settle: (_partition, settled) =>
      write((view) => settled.flatMap((each) => settleWrites(view, tables, each))),
    watch(_partition, tell) {
      const entry = { tell };
      listeners.add(entry);
      return () => void listeners.delete(entry);
    },
  };
}

/** Place of the newest entry of a state; 0 when there is none. */
export function lastSeq(view: View, tables: Tables): number {
  const start = encodeNumber(Number.MAX_SAFE_INTEGER);
  for (const key of tables.outbox.getKeys({ start, reverse: true, limit: 1 }))
    return decodeNumber(key);
  return 0;
}

function settleWrites(
  view: View,
  tables: Tables,
  { seq, triggers, complete }: Settled,
): readonly Write[] {
  const { outbox, settled: table } = tables;
  const key = encodeNumber(seq);
  const bytes = view.get(outbox, key);
  if (bytes === undefined) return [];
  const noted = (ids: readonly string[], value: Buffer | undefined) =>
    ids.map((id): Write => ({ table, key: Buffer.concat([key, Buffer.from(id)]), value }));
  if (!complete) return noted(triggers, PRESENT);
  // All of them, also those that are noted in this very batch: a later entry may have the same place.
  const all = decodeHead(seq, bytes).triggers;
  return [{ table: outbox, key, value: undefined }, ...noted(all, undefined)];
}

/** The entry without those of its triggers that are done with it. */
function unsettled<T extends OutboxHead>(view: View, tables: Tables, head: T): T {
  const done = settledTriggers(view, tables, head.seq);
  if (done.size === 0) return head;
  return { ...head, triggers: head.triggers.filter((id) => !done.has(id)) };
}

function settledTriggers(view: View, tables: Tables, seq: number): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const { key } of view.range(tables.settled, encodeNumber(seq), encodeNumber(seq + 1)))
    ids.add(key.toString("utf8", 8));
  return ids;
}
