import type { Outbox, OutboxHead, Settled } from "../../core/outbox.ts";
import type { Tables, View, Write } from "./disk.ts";
import { decodeEntry, decodeHead } from "./outbox-encoding.ts";
import { decodeNumber, encodeNumber } from "./encoding.ts";

/*
 *   table outbox: seq (8 bytes)               entry
 *   table settled: seq (8 bytes) trigger-id   present: the trigger is done with a kept entry
 */

/** Dependencies of the outbox. */
export interface LmdbOutboxContext {
  readonly tables: Tables;
  /** Name of the data's lineage. */
  readonly lineage: string;
  /** Runs a read on the latest durable state. */
  readonly read: <T>(work: (view: View) => T) => Promise<T>;
  /** Writes with the next batch. Resolves when durable. */
  readonly write: (writesOn: (view: View) => readonly Write[]) => Promise<void>;
}

/** The outbox of the store, which the store notifies of new entries. */
export interface LmdbOutbox extends Outbox {
  /** Notifies the watchers. */
  announce(heads: readonly OutboxHead[]): void;
}

const PRESENT = Buffer.from([1]);

/** The outbox on disk: one partition. */
export function createLmdbOutbox({ tables, lineage, read, write }: LmdbOutboxContext): LmdbOutbox {
  const listeners = new Set<{ readonly notify: (heads: readonly OutboxHead[]) => void }>();
  return {
    partitions: 1,
    lineage: async () => lineage,
    announce(heads) {
      // In microtasks, so an error of a listener does not affect the writers of the batch.
      for (const entry of listeners)
        queueMicrotask(() => void (listeners.has(entry) && entry.notify(heads)));
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
    watch(_partition, notify) {
      const entry = { notify };
      listeners.add(entry);
      return () => void listeners.delete(entry);
    },
  };
}

/** Sequence number of the newest entry in a view; 0 when there is none. */
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
  // All of them, even those noted in this batch: a later entry may get the same sequence number.
  const all = decodeHead(seq, bytes).triggers;
  return [{ table: outbox, key, value: undefined }, ...noted(all, undefined)];
}

/** The entry without the triggers that are done with it. */
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
