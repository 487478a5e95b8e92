import type { GroupKey } from "./names.ts";
import type { Fired, Outbox, OutboxEntry, OutboxHead } from "./outbox.ts";

/** An outbox that dies with the process. */
export interface MemoryOutbox extends Outbox {
  /** Adds what a commit fired, and tells the watchers. */
  append(group: GroupKey, fired: readonly Fired[]): void;
}

/** An empty outbox in memory, of one partition: for stores that keep nothing, or have none of their own. */
export function createMemoryOutbox(): MemoryOutbox {
  const entries = new Map<number, OutboxEntry>();
  const listeners = new Set<{ readonly tell: (heads: readonly OutboxHead[]) => void }>();
  let last = 0;
  return {
    partitions: 1,
    append(group, fired) {
      if (fired.length === 0) return;
      const added = fired.map(({ event, firing }): OutboxEntry => {
        last += 1;
        return { ...firing, seq: last, group, event };
      });
      for (const entry of added) entries.set(entry.seq, entry);
      // Not at once: a listener may write, and what that fires comes later.
      for (const entry of listeners)
        queueMicrotask(() => void (listeners.has(entry) && entry.tell(added)));
    },
    async scan(_partition, after, limit) {
      const heads: OutboxHead[] = [];
      for (const entry of entries.values()) {
        if (heads.length >= limit) break;
        if (entry.seq > after) heads.push(entry);
      }
      return heads;
    },
    async read(_partition, seq) {
      return entries.get(seq);
    },
    async settle(_partition, settled) {
      for (const { seq, triggers, complete } of settled) {
        const entry = entries.get(seq);
        if (complete || entry === undefined) entries.delete(seq);
        else {
          const left = entry.triggers.filter((id) => !triggers.includes(id));
          entries.set(seq, { ...entry, triggers: left });
        }
      }
    },
    watch(_partition, tell) {
      const entry = { tell };
      listeners.add(entry);
      return () => void listeners.delete(entry);
    },
  };
}
