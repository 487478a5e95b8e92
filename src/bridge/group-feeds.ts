import { FewMap } from "../core/few-map.ts";
import { type GroupKey, groupKeyText } from "../core/names.ts";
import { type FeedOwner, GroupFeed, type Join } from "./group-feed.ts";
import type { SendQueue } from "./send-queue.ts";
import type { SessionOptions } from "./session-options.ts";

/** The feeds of a socket, by group: one for each group that it follows. */
export class GroupFeeds extends FewMap<string, GroupFeed> {
  /**
   * The feed of a group. To be released by each user.
   *
   * @param withAuthors Whether the socket gets the authors of events.
   */
  use(
    group: GroupKey,
    { handlers, limits }: Pick<SessionOptions, "handlers" | "limits">,
    sendQueue: SendQueue,
    owner: FeedOwner,
    withAuthors: boolean,
  ): GroupFeed {
    const key = groupKeyText(group);
    let feed = this.get(key);
    if (feed === undefined) {
      const shared = handlers.share<Join>(group);
      feed = new GroupFeed(group, shared, sendQueue, limits.maxSyncBytes, owner, withAuthors);
      this.set(key, feed);
    }
    feed.users++;
    return feed;
  }

  /** Closes a feed after its last user. */
  release(feed: GroupFeed): void {
    feed.users--;
    if (feed.users > 0) return;
    feed.close();
    const key = groupKeyText(feed.group);
    if (this.get(key) === feed) this.delete(key);
  }

  /** Closes all feeds. */
  close(): void {
    for (const feed of this.values()) feed.close();
    this.clear();
  }
}
