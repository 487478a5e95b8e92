import type { Connected } from "../core/connection.ts";
import { StreamError } from "../core/errors.ts";
import { FewMap } from "../core/few-map.ts";
import { type GroupKey, checkGroup, checkName, groupKeyText } from "../core/names.ts";
import type { TokenBucket } from "../limits/token-bucket.ts";
import type { Admission, Handlers } from "../service/handlers.ts";
import { type JoinFrame, readClientFrame } from "./client-frame.ts";
import { CLOSE, closeCodeOf } from "./close-codes.ts";
import { usesExtension } from "./extensions.ts";
import { type FeedOwner, GroupFeed, type Join } from "./group-feed.ts";
import type { BridgeLimits } from "./limits.ts";
import { SendQueue, type OutletSocket } from "./send-queue.ts";
import { errorFrame } from "./server-frame.ts";
import type { Target } from "./target.ts";

/** The socket as a session sees it. */
export interface SessionSocket extends OutletSocket, Connected {
  close(code: number, reason: string): void;
}

/** A subscription and its feed. */
interface Joined {
  readonly join: Join;
  readonly feed: GroupFeed;
}

/** The subscription that the URL requested. */
interface ByUrl extends Target {
  readonly subscriptionId: string;
}

/** A join or leave of one subscription id that is under way. */
interface UnderWay {
  readonly done: Promise<void>;
  /** Whether the subscription has ended after it. */
  readonly leaves: boolean;
}

/**
 * The session of one socket: reads the client's frames and manages its subscriptions.
 *
 * All subscriptions of one group share a feed. Frames that the socket cannot take stay in the
 * bounded queues of the subscriptions (G7).
 */
export class BridgeSession implements FeedOwner {
  readonly #handlers: Handlers;
  readonly #socket: SessionSocket;
  readonly #limits: BridgeLimits;
  readonly #subscriptions: TokenBucket;
  readonly #sendQueue: SendQueue;
  readonly #joined = new FewMap<string, Joined>();
  readonly #feeds = new FewMap<string, GroupFeed>();
  /** Joins and leaves under way, by subscription id: those of one id wait for one another. */
  readonly #underWay = new FewMap<string, UnderWay>();
  /**
   * The URL's subscription, which a join of the same target can replace; undefined once one has.
   */
  #byUrl: ByUrl | undefined;
  /** The client's context from `auth_function`. */
  readonly #context: string;
  #underWayCount = 0;
  #malformed = 0;
  #usesExtensions = false;
  #closed = false;

  /**
   * @param subscriptions Limits the rate of joins.
   * @param context The client's context from `authenticate`.
   */
  constructor(
    handlers: Handlers,
    socket: SessionSocket,
    limits: BridgeLimits,
    subscriptions: TokenBucket,
    context = "null",
  ) {
    this.#handlers = handlers;
    this.#subscriptions = subscriptions;
    this.#context = context;
    this.#socket = socket;
    this.#limits = limits;
    this.#sendQueue = new SendQueue(socket);
  }

  /** Subscribes to the target of the socket's URL. */
  joinByUrl(target: Target, subscriptionId: string): void {
    const { streamName, groupId, itemId } = target;
    const noExtensions = { resume: undefined, heartbeat: false, parts: false };
    this.#enqueueJoin({ ...target, ...noExtensions, type: "join", subscriptionId }, true);
    this.#byUrl = { streamName, groupId, itemId, subscriptionId };
  }

  /** Receives a frame of the client; undefined when it was not valid UTF-8. */
  receive(text: string | undefined): void {
    if (this.#closed) return;
    let frame;
    try {
      frame = readClientFrame(text ?? "");
    } catch (error) {
      return this.#refuseFrame(StreamError.from(error));
    }
    const { subscriptionId } = frame;
    if (frame.type === "join") {
      this.#usesExtensions ||= usesExtension(frame);
      this.#enqueueJoin(frame, false);
    } else if (this.#joined.has(subscriptionId) || this.#underWay.has(subscriptionId))
      this.#enqueue(subscriptionId, true, () => this.#leave(subscriptionId));
  }

  /** Ends all subscriptions. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sendQueue.close();
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
    for (const { join } of this.#joined.values()) join.admission.leave();
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
    const url =
      this.#byUrl !== undefined && isSameTarget(this.#byUrl, frame) ? this.#byUrl : undefined;
    if (this.#subscriptions.take(performance.now()) > 0)
      return this.#end(CLOSE.TOO_MUCH, "subscriptions come too fast");
    if (this.#countBeside(subscriptionId, url?.subscriptionId) >= this.#limits.maxSubscriptions)
      return this.#end(CLOSE.TOO_MUCH, "too many subscriptions");
    this.#enqueue(subscriptionId, false, () => this.#join(frame, byUrl, url), url?.subscriptionId);
  }

  /**
   * How many subscriptions there will be once all joins and leaves under way are done, beside the
   * new one and the one that it replaces.
   */
  #countBeside(subscriptionId: string, taken = subscriptionId): number {
    const ids = new Set(this.#joined.keys());
    for (const [id, { leaves }] of this.#underWay) {
      if (leaves) ids.delete(id);
      else ids.add(id);
    }
    ids.delete(subscriptionId);
    ids.delete(taken);
    return ids.size;
  }

  /**
   * Runs the joins and leaves of one subscription id in the order in which they were received.
   *
   * @param taken Another id whose subscription the work replaces.
   */
  #enqueue(
    subscriptionId: string,
    leaves: boolean,
    work: () => Promise<void> | void,
    taken = subscriptionId,
  ): void {
    // Joins proceed only as the client reads: one that does not read must not queue more and more
    // work.
    if (this.#underWayCount >= this.#limits.maxFrameBurst)
      return this.#end(CLOSE.TOO_MUCH, "too many joins and leaves under way");
    this.#underWayCount++;
    const ids = [taken, subscriptionId];
    const before = Promise.all(ids.map((id) => this.#underWay.get(id)?.done ?? Promise.resolve()));
    const done = before.then(work).finally(() => {
      this.#underWayCount--;
      for (const id of ids) if (this.#underWay.get(id)?.done === done) this.#underWay.delete(id);
    });
    this.#underWay.set(taken, { done, leaves: true });
    this.#underWay.set(subscriptionId, { done, leaves });
  }

  /**
   * @param url The URL's subscription, when this join has the same target. The queue keeps others
   * from it.
   */
  async #join(frame: JoinFrame, byUrl: boolean, url: ByUrl | undefined): Promise<void> {
    if (this.#closed) return;
    const { subscriptionId, streamName, groupId, itemId, resume, heartbeat, parts } = frame;
    const target: Target = { streamName, groupId, itemId };
    let feed: GroupFeed | undefined;
    let admission: Admission | undefined;
    let taken: Joined | undefined;
    try {
      if (itemId !== undefined) checkName("id", itemId);
      checkGroup(target);
      taken = this.#claim(url);
      admission =
        taken?.join.admission ??
        (await this.#handlers.admit({
          ...target,
          subscriptionId,
          context: this.#context,
          connection: this.#socket,
        }));
      if (this.#closed) return admission.leave();
      // Without a spread: each object made by a spread has a hidden class of its own, which takes
      // memory.
      const join: Join = {
        streamName,
        groupId,
        itemId,
        subscriptionId,
        resumes: resume !== undefined,
        heartbeat,
        parts,
        byUrl,
        isServed: false,
        admission,
      };
      feed = this.#useFeed({ streamName, groupId });
      await feed.join(join, resume);
      // The replaced subscription ends only here, because a refused join must leave it in place.
      if (taken?.join.subscriptionId !== subscriptionId) this.#leave(subscriptionId);
      if (taken !== undefined) this.#detach(taken);
      if (this.#closed) return admission.leave();
      this.#joined.set(subscriptionId, { join, feed });
    } catch (error) {
      if (feed !== undefined) this.#release(feed);
      if (taken === undefined) admission?.leave();
      // The URL's subscription continues, and keeps its admission.
      else this.#byUrl = url;
      this.#refuse(StreamError.from(error), target, subscriptionId);
    }
  }

  /**
   * Reports a join that failed, at once or while its snapshot was sent. When the error is
   * retryable, the socket of a client without extensions is closed, because it rejoins only after a
   * close.
   */
  #refuse(error: StreamError, target: Target, subscriptionId: string): void {
    this.#reply(errorFrame(error, target, subscriptionId));
    if (error.retryable && !this.#usesExtensions)
      this.#end(closeCodeOf(error), "a join failed for now; come back in a moment");
  }

  /**
   * The URL's subscription, for a join of the same target to replace it: the join gets its
   * admission.
   */
  #claim(url: ByUrl | undefined): Joined | undefined {
    // Only one join can claim it; a second one needs an admission of its own.
    if (url === undefined || this.#byUrl !== url) return undefined;
    this.#byUrl = undefined;
    const joined = this.#joined.get(url.subscriptionId);
    // When it was refused or has ended, another subscription may have its id now.
    return joined?.join.byUrl === true ? joined : undefined;
  }

  #leave(subscriptionId: string): void {
    const joined = this.#joined.get(subscriptionId);
    if (joined === undefined) return;
    this.#detach(joined);
    joined.join.admission.leave();
  }

  /** Ends a subscription without releasing its admission. */
  #detach({ join, feed }: Joined): void {
    this.#joined.delete(join.subscriptionId);
    feed.leave(join);
    this.#release(feed);
  }

  #useFeed(group: GroupKey): GroupFeed {
    const key = groupKeyText(group);
    let feed = this.#feeds.get(key);
    if (feed === undefined) {
      const shared = this.#handlers.share<Join>(group);
      feed = new GroupFeed(group, shared, this.#sendQueue, this.#limits.maxSyncBytes, this);
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

  /** @see FeedOwner */
  onRefused(join: Join, error: StreamError): void {
    this.#refuse(error, join, join.subscriptionId);
    if (this.#closed) return;
    // Queued, because its join may still be under way.
    this.#enqueue(join.subscriptionId, true, () => {
      if (this.#joined.get(join.subscriptionId)?.join === join) this.#leave(join.subscriptionId);
    });
  }

  #reply(frame: Buffer): void {
    if (this.#closed) return;
    if (!this.#sendQueue.reply(frame)) this.#end(CLOSE.SLOW_SUBSCRIBER, "responses are not read");
  }

  /**
   * Sends the error and closes the socket: the client reconnects and rejoins all its subscriptions.
   *
   * @see FeedOwner
   */
  onEnd(group: GroupKey, error: StreamError): void {
    this.#reply(errorFrame(error, { ...group, itemId: undefined }, undefined));
    this.#end(closeCodeOf(error), error.reason);
  }

  #end(code: number, reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#socket.close(code, reason);
  }
}

function isSameTarget(a: Target, b: Target): boolean {
  return a.streamName === b.streamName && a.groupId === b.groupId && a.itemId === b.itemId;
}
