import { StreamError } from "../core/errors.ts";
import { type GroupKey, checkName, groupKeyText } from "../core/names.ts";
import type { Handlers } from "../service/handlers.ts";
import { type JoinFrame, readClientFrame } from "./client-frame.ts";
import { CLOSE, closeCodeOf } from "./close-codes.ts";
import { GroupFeed, type Join } from "./group-feed.ts";
import type { BridgeLimits } from "./limits.ts";
import { Outlet, type OutletSocket } from "./outlet.ts";
import { errorFrame } from "./server-frame.ts";
import type { Target } from "./target.ts";

/** The socket as a session sees it. */
export interface SessionSocket extends OutletSocket {
  close(code: number, reason: string): void;
}

/** A subscription, and the feed that it hears. */
interface Joined {
  readonly join: Join;
  readonly feed: GroupFeed;
}

/** Work on one subscription id. */
interface UnderWay {
  readonly done: Promise<void>;
  /** Whether the subscription is gone after it. */
  readonly leaves: boolean;
}

/**
 * One socket: its subscriptions, and what they have to say to each other.
 *
 * All subscriptions of one group share a feed. What the socket cannot take stays in the bounded queues
 * of the subscriptions (G7).
 */
export class BridgeSession {
  readonly #handlers: Handlers;
  readonly #socket: SessionSocket;
  readonly #limits: BridgeLimits;
  readonly #outlet: Outlet;
  readonly #joined = new Map<string, Joined>();
  readonly #feeds = new Map<string, GroupFeed>();
  /** What is under way, by subscription id: joins and leaves of one id wait for one another. */
  readonly #underWay = new Map<string, UnderWay>();
  /** The subscription that the URL asked for, and whether a join takes it over. */
  #byUrl: (Target & { readonly subscriptionId: string; isTaken: boolean }) | undefined;
  #underWayCount = 0;
  #malformed = 0;
  #closed = false;

  constructor(handlers: Handlers, socket: SessionSocket, limits: BridgeLimits) {
    this.#handlers = handlers;
    this.#socket = socket;
    this.#limits = limits;
    this.#outlet = new Outlet(socket);
  }

  /** Subscribes to what the socket's URL names. */
  joinByUrl(target: Target, subscriptionId: string): void {
    const asked = { resume: undefined, heartbeat: false, parts: false };
    this.#enqueueJoin({ ...target, ...asked, type: "join", subscriptionId }, true);
    this.#byUrl = { ...target, subscriptionId, isTaken: false };
  }

  /** Takes a frame of the client; undefined when it was not text. */
  receive(text: string | undefined): void {
    if (this.#closed) return;
    let frame;
    try {
      frame = readClientFrame(text ?? "");
    } catch (error) {
      return this.#refuseFrame(StreamError.from(error));
    }
    const { subscriptionId } = frame;
    if (frame.type === "join") this.#enqueueJoin(frame, false);
    else if (this.#joined.has(subscriptionId) || this.#underWay.has(subscriptionId))
      this.#enqueue(subscriptionId, true, () => this.#leave(subscriptionId));
  }

  /** Ends all subscriptions. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#outlet.close();
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
    this.#joined.clear();
  }

  #refuseFrame(error: StreamError): void {
    this.#reply(errorFrame(error, undefined, error.metadata["subscriptionId"]));
    this.#malformed++;
    if (this.#malformed >= this.#limits.maxMalformedFrames)
      this.#end(CLOSE.MALFORMED, "too many malformed frames");
  }

  #enqueueJoin(frame: JoinFrame, byUrl: boolean): void {
    const { subscriptionId } = frame;
    if (this.#countBeside(frame) >= this.#limits.maxSubscriptions)
      return this.#end(CLOSE.TOO_MUCH, "too many subscriptions");
    this.#enqueue(subscriptionId, false, () => this.#join(frame, byUrl));
  }

  /** How many subscriptions there will be beside this one, once all that is under way is done. */
  #countBeside(frame: JoinFrame): number {
    const ids = new Set(this.#joined.keys());
    for (const [id, { leaves }] of this.#underWay) {
      if (leaves) ids.delete(id);
      else ids.add(id);
    }
    ids.delete(frame.subscriptionId);
    const url = this.#byUrl;
    if (url !== undefined) {
      const { streamName, groupId, itemId } = frame;
      url.isTaken ||=
        url.streamName === streamName && url.groupId === groupId && url.itemId === itemId;
      if (url.isTaken) ids.delete(url.subscriptionId);
    }
    return ids.size;
  }

  /** What concerns one subscription id happens in the order asked. */
  #enqueue(subscriptionId: string, leaves: boolean, work: () => Promise<void> | void): void {
    // A client that reads nothing, and so is told nothing, must not pile up work.
    if (this.#underWayCount >= this.#limits.maxFrameBurst)
      return this.#end(CLOSE.TOO_MUCH, "too many joins and leaves under way");
    this.#underWayCount++;
    const before = this.#underWay.get(subscriptionId)?.done ?? Promise.resolve();
    const done = before.then(work).finally(() => {
      this.#underWayCount--;
      if (this.#underWay.get(subscriptionId)?.done === done) this.#underWay.delete(subscriptionId);
    });
    this.#underWay.set(subscriptionId, { done, leaves });
  }

  async #join(frame: JoinFrame, byUrl: boolean): Promise<void> {
    if (this.#closed) return;
    const { subscriptionId, streamName, groupId, itemId, resume, heartbeat, parts } = frame;
    const target: Target = { streamName, groupId, itemId };
    const join = {
      ...target,
      subscriptionId,
      resumes: resume !== undefined,
      heartbeat,
      parts,
      byUrl,
    };
    let feed: GroupFeed | undefined;
    try {
      if (itemId !== undefined) checkName("id", itemId);
      feed = this.#useFeed({ streamName, groupId });
      await feed.join(join, resume);
    } catch (error) {
      if (feed !== undefined) this.#release(feed);
      return this.#reply(errorFrame(StreamError.from(error), target, subscriptionId));
    }
    // The one that it replaces stays until here, because a refusal would have left it in place.
    this.#leave(subscriptionId);
    if (this.#closed) return;
    this.#joined.set(subscriptionId, { join, feed });
    if (!byUrl) this.#takeOverUrl(feed, itemId);
  }

  /** An explicit join of what the URL asked for takes its place. */
  #takeOverUrl(feed: GroupFeed, itemId: string | undefined): void {
    for (const { join, feed: other } of this.#joined.values()) {
      if (join.byUrl && other === feed && join.itemId === itemId) this.#leave(join.subscriptionId);
    }
  }

  #leave(subscriptionId: string): void {
    const joined = this.#joined.get(subscriptionId);
    if (joined === undefined) return;
    this.#joined.delete(subscriptionId);
    joined.feed.leave(joined.join);
    this.#release(joined.feed);
  }

  #useFeed(group: GroupKey): GroupFeed {
    const key = groupKeyText(group);
    let feed = this.#feeds.get(key);
    if (feed === undefined) {
      feed = new GroupFeed({
        group,
        shared: this.#handlers.share<Join>(group),
        outlet: this.#outlet,
        maxSyncBytes: this.#limits.maxSyncBytes,
        onEnd: (error) => this.#endBy(error, group),
        onRefused: (join, error) => this.#refuseSnapshot(join, error),
      });
      this.#feeds.set(key, feed);
    }
    feed.users++;
    return feed;
  }

  #release(feed: GroupFeed): void {
    feed.users--;
    if (feed.users > 0) return;
    feed.close();
    const key = groupKeyText(feed.group);
    if (this.#feeds.get(key) === feed) this.#feeds.delete(key);
  }

  #refuseSnapshot(join: Join, error: StreamError): void {
    this.#reply(errorFrame(error, join, join.subscriptionId));
    // Its join may not have been told yet that it succeeded.
    this.#enqueue(join.subscriptionId, true, () => {
      if (this.#joined.get(join.subscriptionId)?.join === join) this.#leave(join.subscriptionId);
    });
  }

  #reply(text: string): void {
    if (this.#closed) return;
    if (!this.#outlet.reply(text)) this.#end(CLOSE.SLOW_SUBSCRIBER, "answers are not taken");
  }

  /** A feed ended: the client hears why, and comes back with all of its subscriptions. */
  #endBy(error: StreamError, group: GroupKey): void {
    this.#reply(errorFrame(error, { ...group, itemId: undefined }, undefined));
    this.#end(closeCodeOf(error), error.reason);
  }

  #end(code: number, reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#socket.close(code, reason);
  }
}
