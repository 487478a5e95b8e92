import { type GroupKey, groupKeyText } from "../../core/names.ts";
import { type GroupListener, type Unwatch, createWatchers } from "../../core/watchers.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { RedisKeys } from "./keys.ts";
import { decodeMessage } from "./encoding.ts";

/** Receives the announcements of the groups that have listeners in this process. */
export interface RedisFeed {
  /**
   * @param onDoubt Called when events may have been missed, to compare with the log.
   * @see Store.watch
   */
  watch(group: GroupKey, listener: GroupListener, onDoubt?: () => void): Promise<Unwatch>;
  /** Removes all listeners. */
  close(): void;
}

interface Entry {
  readonly opened: Promise<Unwatch>;
  readonly doubters: Set<{ readonly onDoubt: () => void }>;
  /** Number of listeners, including those that are being added. */
  users: number;
}

/**
 * The feed over pub/sub, which may lose messages: the listeners are notified, and compare with the
 * log. It subscribes only to the groups that have listeners.
 *
 * @param note Called with the number of commits of a partition that a message reports, and their lineage.
 */
export function createFeed(
  servers: RedisServers,
  keys: RedisKeys,
  note: (partition: number, commits: number, lineage: string) => void,
): RedisFeed {
  const watchers = createWatchers();
  const groups = new Map<string, Entry>();

  const open = (text: string): Entry => {
    const partition = keys.partitionOf(text);
    const { tag } = keys.ofPartition(partition);
    const doubters: Entry["doubters"] = new Set();
    const doubt = () => {
      for (const { onDoubt } of Array.from(doubters)) onDoubt();
    };
    const opened = servers.subscribe(tag, keys.ofGroup(partition, text).head, {
      onMessage(packed) {
        const message = decodeMessage(packed);
        if (message === undefined) return doubt();
        const { events, known } = message;
        if (known !== undefined) note(partition, known.commits, known.lineage);
        watchers.announce(text, events);
      },
      onDoubt: doubt,
    });
    const entry: Entry = { opened, doubters, users: 0 };
    groups.set(text, entry);
    return entry;
  };
  const release = (text: string, entry: Entry) => {
    entry.users--;
    if (entry.users > 0) return;
    if (groups.get(text) === entry) groups.delete(text);
    entry.opened.then(
      (stop) => stop(),
      () => {},
    );
  };

  return {
    async watch(group, listener, onDoubt = () => {}) {
      const text = groupKeyText(group);
      const entry = groups.get(text) ?? open(text);
      entry.users++;
      try {
        await entry.opened;
      } catch (error) {
        release(text, entry);
        throw error;
      }
      const doubter = { onDoubt };
      entry.doubters.add(doubter);
      const remove = watchers.add(group, listener);
      let stopped = false;
      return () => {
        if (stopped) return;
        stopped = true;
        remove();
        entry.doubters.delete(doubter);
        release(text, entry);
      };
    },
    close() {
      watchers.clear();
      groups.clear();
    },
  };
}
