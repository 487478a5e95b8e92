import { type GroupKey, groupKeyText } from "../../core/names.ts";
import type { Unwatch } from "../../core/store.ts";
import { type Listener, createWatchers } from "../../core/watchers.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { RedisKeys } from "./keys.ts";
import { decodeMessage } from "./records.ts";

/** Hears what is announced of groups, as long as somebody listens to them here. */
export interface RedisFeed {
  /**
   * @param onDoubt Events may have been missed: compare with the log.
   * @see Store.watch
   */
  watch(group: GroupKey, listener: Listener, onDoubt?: () => void): Promise<Unwatch>;
  /** Forgets all listeners. */
  close(): void;
}

interface Heard {
  readonly opened: Promise<Unwatch>;
  readonly doubters: Set<{ readonly onDoubt: () => void }>;
  /** Listeners, and those who are about to be. */
  users: number;
}

/**
 * The feed over pub/sub, which may lose messages: that is told to the listeners, who have the log. One
 * subscription for each group that has listeners, none for others.
 */
export function createFeed(servers: RedisServers, keys: RedisKeys): RedisFeed {
  const watchers = createWatchers();
  const groups = new Map<string, Heard>();

  const open = (text: string): Heard => {
    const partition = keys.partitionOf(text);
    const { tag } = keys.ofPartition(partition);
    const doubters: Heard["doubters"] = new Set();
    const doubt = () => {
      for (const { onDoubt } of Array.from(doubters)) onDoubt();
    };
    const opened = servers.subscribe(tag, keys.ofGroup(partition, text).head, {
      onMessage(packed) {
        const events = decodeMessage(packed);
        if (events === undefined) doubt();
        else watchers.announce(text, events);
      },
      onDoubt: doubt,
    });
    const heard: Heard = { opened, doubters, users: 0 };
    groups.set(text, heard);
    return heard;
  };
  const release = (text: string, heard: Heard) => {
    heard.users--;
    if (heard.users > 0) return;
    if (groups.get(text) === heard) groups.delete(text);
    heard.opened.then(
      (stop) => stop(),
      () => {},
    );
  };

  return {
    async watch(group, listener, onDoubt = () => {}) {
      const text = groupKeyText(group);
      const heard = groups.get(text) ?? open(text);
      heard.users++;
      try {
        await heard.opened;
      } catch (error) {
        release(text, heard);
        throw error;
      }
      const doubter = { onDoubt };
      heard.doubters.add(doubter);
      const remove = watchers.add(group, listener);
      let stopped = false;
      return () => {
        if (stopped) return;
        stopped = true;
        remove();
        heard.doubters.delete(doubter);
        release(text, heard);
      };
    },
    close() {
      watchers.clear();
      groups.clear();
    },
  };
}
