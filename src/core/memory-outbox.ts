import type { GroupKey } from "./names.ts";
import type { Fired, Outbox, OutboxEntry, OutboxHead } from "./outbox.ts";

/** An outbox that lives in memory only. */
export interface MemoryOutbox extends Outbox {
  /** Adds the firings of a commit, and notifies the watchers. */
  append(group: GroupKey, fired: readonly Fired[]): void;
}

/**
 * An empty outbox of one partition, for stores that are not durable or have no outbox of their own.
 */
export function createMemoryOutbox(): MemoryOutbox {
  const entries = new Map<number, OutboxEntry>();
  const watchers = new Set<{ readonly notify: (heads: readonly OutboxHead[]) => void }>();
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
      // Deferred: a listener may write, and the firings of that write come later.
      for (const watcher of watchers)
        queueMicrotask(() => void (watchers.has(watcher) && watcher.notify(added)));
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
    watch(_partition, notify) {
      const watcher = { notify };
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
  };
}
