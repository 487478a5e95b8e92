import { StreamError } from "../core/errors.ts";
import { FewMap } from "../core/few-map.ts";
import { type GroupKey, checkGroup, checkName, groupKeyText } from "../core/names.ts";
import type { TokenBucket } from "../limits/token-bucket.ts";
import { type Caller, seesAuthors } from "../rights/caller.ts";
import { expired, subscriptionEnded } from "../service/calls.ts";
import type { Position } from "../core/position.ts";
import type { Admission, SubscriptionHolder } from "../service/handlers.ts";
import { type ClientFrame, type JoinFrame, plainJoin, readClientFrame } from "./client-frame.ts";
import type { CallFrame } from "./call-frame.ts";
import { CLOSE, closeCodeOf } from "./close-codes.ts";
import { Expiry, type ExpiryOwner } from "./expiry.ts";
import { type Dialect, usesExtension } from "./extensions.ts";
import { type FeedOwner, GroupFeed, type Join } from "./group-feed.ts";
import { invalid } from "./invalid.ts";
import { JoinTurns } from "./join-turns.ts";
import {
  type ByUrl,
  type JoinedFeed,
  type Joining,
  admittedBy,
  endJoining,
  isSameTarget,
  newJoin,
  requireRightTo,
} from "./joined.ts";
import { expiredFrame, tokenFrame, welcomeFrame, welcomeTo } from "./notice-frame.ts";
import { SendQueue } from "./send-queue.ts";
import { endedFrame, errorFrame, refusalFrame } from "./server-frame.ts";
import type { SessionOptions, SessionSocket } from "./session-options.ts";
import { type CallSocket, SocketCalls } from "./socket-calls.ts";
import type { Target } from "./target.ts";

/** How long calls may take to finish when the service shuts down, in milliseconds. */
const CALLS_GRACE_MS = 4000;

/**
 * The session of one socket: reads the client's frames and manages its subscriptions.
 *
 * All subscriptions of one group share a feed. Frames that the socket cannot take stay in the
 * bounded queues of the subscriptions (G7).
 */
export class BridgeSession implements FeedOwner, ExpiryOwner, SubscriptionHolder, CallSocket {
  readonly door = "socket";
  readonly #options: SessionOptions;
  readonly #socket: SessionSocket;
  readonly #subscriptions: TokenBucket;
  readonly #sendQueue: SendQueue;
  readonly #joined = new FewMap<string, JoinedFeed>();
  readonly #feeds = new FewMap<string, GroupFeed>();
  readonly #turns = new JoinTurns();
  /**
   * The URL's subscription, which a join of the same target can replace; undefined once one has.
   */
  #byUrl: ByUrl | undefined;
  /** Replaced when it renews its credentials. */
  #caller: Caller;
  /** The end of the caller's credentials; undefined: they have none. */
  readonly #expiry: Expiry | undefined;
  #joining: Set<Joining> | undefined;
  #malformed = 0;
  #dialect: Dialect = "unknown";
  #calls: SocketCalls | undefined;
  #closed = false;

  /** @param subscriptions Limits the rate of joins. */
  constructor(
    options: SessionOptions,
    socket: SessionSocket,
    subscriptions: TokenBucket,
    caller: Caller,
  ) {
    this.#options = options;
    this.#subscriptions = subscriptions;
    this.#caller = caller;
    this.#socket = socket;
    this.#expiry = Expiry.of(caller, socket, options, this);
    this.#sendQueue = new SendQueue(this.#expiry ?? socket);
  }

  /** Subscribes to the target of the socket's URL. */
  joinByUrl(target: Target, subscriptionId: string): void {
    this.#enqueueJoin(plainJoin(target, subscriptionId), true);
    const { streamName, groupId, itemId } = target;
    this.#byUrl = { streamName, groupId, itemId, subscriptionId };
  }

  /** Receives a frame of the client; undefined when it was not valid UTF-8. */
  receive(text: string | undefined): void {
    if (this.#closed) return;
    const isFirst = this.#dialect === "unknown";
    if (isFirst) this.#dialect = "original";
    const { saidHello } = this;
    try {
      const frame = readClientFrame(text ?? "", saidHello);
      if (frame.type === "call") {
        this.#calls ??= this.#beginCalls();
        return this.#calls.receive(frame, text?.length ?? 0);
      }
      if (!saidHello || this.#socket.admitFrame()) this.#process(frame, isFirst);
    } catch (error) {
      this.#refuseFrame(StreamError.from(error));
    }
  }

  /** Whether the client has said hello. */
  get saidHello(): boolean {
    return this.#dialect === "hello";
  }

  /** @see CallSocket */
  get isClosed(): boolean {
    return this.#closed;
  }

  #beginCalls(): SocketCalls {
    const { calls, limits } = this.#options;
    const throttle = this.#socket.callThrottle();
    return new SocketCalls({ ...calls, limits }, this, this.#sendQueue, throttle);
  }

  /** @throws StreamError when the frame comes at the wrong time. */
  #process(frame: Exclude<ClientFrame, CallFrame>, isFirst: boolean): void {
    switch (frame.type) {
      case "hello":
        if (!isFirst) throw invalid("hello", "is not the first frame of the socket", "that, once");
        return this.#welcome();
      case "token":
        return this.#renew(frame.token);
      case "join":
        if (this.#dialect === "original" && usesExtension(frame)) this.#dialect = "extended";
        return this.#enqueueJoin(frame, false);
      case "leave": {
        const { subscriptionId } = frame;
        if (this.#joined.has(subscriptionId) || this.#turns.has(subscriptionId))
          this.#enqueue(subscriptionId, true, () => this.#leave(subscriptionId));
      }
    }
  }

  #welcome(): void {
    this.#dialect = "hello";
    this.#socket.onHello(this.#caller);
    const { pingIntervalMs } = this.#options.limits;
    this.#reply(welcomeFrame(welcomeTo(this.#caller, pingIntervalMs)));
  }

  /** @throws StreamError when the client cannot renew. */
  #renew(token: string): void {
    const expiry = this.#expiry;
    if (this.#dialect !== "hello")
      throw invalid("token", "came without a hello", "sent after a hello, the first frame");
    if (expiry === undefined)
      throw invalid("token", "is not needed: the credentials do not expire", "absent");
    expiry.renew(token, this.#caller).then(
      (caller) => this.#onRenewed(caller),
      (error: unknown) => this.#refuseFrame(StreamError.from(error)),
    );
  }

  /** Continues with new rights: subscriptions without one end, the others miss nothing. */
  #onRenewed(caller: Caller): void {
    if (this.#closed) return;
    this.#caller = caller;
    for (const { join } of [...this.#joined.values(), ...(this.#joining ?? [])]) {
      try {
        requireRightTo(join, this.#caller, this.#options);
      } catch (error) {
        const { message } = StreamError.from(error);
        this.end(join.admission, subscriptionEnded(message));
      }
    }
    this.#reply(tokenFrame(caller.expiresAtMs));
    this.#sendQueue.wake();
  }

  get address(): string {
    return this.#socket.address;
  }

  /** @see SubscriptionHolder */
  get caller(): Caller {
    return this.#caller;
  }

  /** @see SubscriptionHolder */
  positionOf(admission: Admission): Position | undefined {
    return admittedBy(admission, this.#joined)?.feed.position;
  }

  /**
   * Ends a subscription, also one that is joining, and notifies the client: one that said hello
   * receives the reason.
   *
   * @see SubscriptionHolder
   */
  end(admission: Admission, error: StreamError): void {
    for (const each of this.#joining ?? []) endJoining(each, admission, error);
    const joined = admittedBy(admission, this.#joined);
    if (joined === undefined) return;
    this.#notifyOfEnd(joined.join, error);
    this.#leave(joined.join.subscriptionId);
  }

  #notifyOfEnd(join: Join, error: StreamError): void {
    this.#reply(endedFrame(error, join, join.subscriptionId, this.#dialect === "hello"));
  }

  /** @see ExpiryOwner */
  onExpired(): boolean {
    const mayRenew = this.#dialect === "hello";
    if (mayRenew) this.#reply(expiredFrame());
    else {
      for (const { join } of this.#joined.values()) this.#notifyOfEnd(join, expired());
      this.onNotRenewed();
    }
    return mayRenew;
  }

  /** @see ExpiryOwner */
  onNotRenewed(): void {
    this.closeWith(CLOSE.EXPIRED, "the credentials have expired");
  }

  /** Ends all subscriptions. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#expiry?.close();
    this.#sendQueue.close();
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
    for (const { join } of this.#joined.values()) join.admission.leave();
    this.#joined.clear();
  }

  #refuseFrame(error: StreamError): void {
    this.#reply(errorFrame(error, undefined, error.metadata["subscriptionId"]));
    this.#malformed++;
    if (this.#malformed >= this.#options.limits.maxMalformedFrames)
      this.closeWith(CLOSE.MALFORMED, "too many malformed frames");
  }

  #enqueueJoin(frame: JoinFrame, byUrl: boolean): void {
    const { subscriptionId } = frame;
    const url =
      this.#byUrl !== undefined && isSameTarget(this.#byUrl, frame) ? this.#byUrl : undefined;
    if (this.#subscriptions.take(performance.now()) > 0)
      return this.closeWith(CLOSE.TOO_MUCH, "subscriptions come too fast");
    const count = this.#turns.countBeside(this.#joined.keys(), subscriptionId, url?.subscriptionId);
    if (count >= this.#options.limits.maxSubscriptions)
      return this.closeWith(CLOSE.TOO_MUCH, "too many subscriptions");
    this.#enqueue(subscriptionId, false, () => this.#join(frame, byUrl, url), url?.subscriptionId);
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
    if (this.#turns.count >= this.#options.limits.maxFrameBurst)
      return this.closeWith(CLOSE.TOO_MUCH, "too many joins and leaves under way");
    this.#turns.run(subscriptionId, leaves, work, taken);
  }

  /**
   * @param url The URL's subscription, when this join has the same target. The queue keeps others
   * from it.
   */
  async #join(frame: JoinFrame, byUrl: boolean, url: ByUrl | undefined): Promise<void> {
    if (this.#closed) return;
    const { subscriptionId, streamName, groupId, itemId, resume } = frame;
    const target: Target = { streamName, groupId, itemId };
    let feed: GroupFeed | undefined;
    let admission: Admission | undefined;
    let taken: JoinedFeed | undefined;
    let joining: Joining | undefined;
    try {
      if (itemId !== undefined) checkName("id", itemId);
      checkGroup(target);
      if (this.#expiry?.isOver === true) throw expired();
      taken = this.#claim(url);
      const caller = this.#caller;
      admission =
        taken?.join.admission ??
        (await this.#options.handlers.admit({ ...target, subscriptionId }, this));
      if (this.#closed) return admission.leave();
      if (admission.ended !== undefined) throw admission.ended;
      if (caller !== this.#caller) requireRightTo(target, this.#caller, this.#options);
      const join = newJoin(frame, byUrl, admission);
      feed = this.#useFeed({ streamName, groupId });
      joining = { join, feed, taken, ended: undefined };
      (this.#joining ??= new Set()).add(joining);
      await feed.join(join, resume);
      if (joining.ended !== undefined) throw joining.ended;
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
      if (joining?.ended === undefined)
        this.#refuse(StreamError.from(error), target, subscriptionId);
      else this.#notifyOfEnd(joining.join, joining.ended);
    } finally {
      if (joining !== undefined) this.#joining?.delete(joining);
      if (this.#joining?.size === 0) this.#joining = undefined;
    }
  }

  /**
   * Reports a join that failed, at once or while its snapshot was sent. When the error is
   * retryable, the socket of a client without extensions is closed, because it rejoins only after a
   * close.
   */
  #refuse(error: StreamError, target: Target, subscriptionId: string): void {
    this.#reply(refusalFrame(error, target, subscriptionId, this.#dialect === "hello"));
    if (error.retryable && this.#dialect !== "extended" && this.#dialect !== "hello")
      this.closeWith(closeCodeOf(error), "a join failed for now; come back in a moment");
  }

  /**
   * The URL's subscription, for a join of the same target to replace it: the join gets its
   * admission.
   */
  #claim(url: ByUrl | undefined): JoinedFeed | undefined {
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
  #detach({ join, feed }: JoinedFeed): void {
    this.#joined.delete(join.subscriptionId);
    feed.leave(join);
    this.#release(feed);
  }

  #useFeed(group: GroupKey): GroupFeed {
    const key = groupKeyText(group);
    let feed = this.#feeds.get(key);
    if (feed === undefined) {
      const { handlers, limits } = this.#options;
      const shared = handlers.share<Join>(group);
      const withAuthors = this.#dialect === "hello" && seesAuthors(this.#caller);
      feed = new GroupFeed(group, shared, this.#sendQueue, limits.maxSyncBytes, this, withAuthors);
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
    if (!this.#sendQueue.reply(frame))
      this.closeWith(CLOSE.SLOW_SUBSCRIBER, "responses are not read");
  }

  /**
   * Sends the error and closes the socket: the client reconnects and rejoins all its subscriptions.
   *
   * @see FeedOwner
   */
  onEnd(group: GroupKey, error: StreamError): void {
    this.#reply(errorFrame(error, { ...group, itemId: undefined }, undefined));
    const code = closeCodeOf(error);
    if (code === CLOSE.GOING_AWAY) this.goAway();
    else this.closeWith(code, error.reason);
  }

  /**
   * Closes the socket because the service shuts down: once its open calls have their results, but
   * within the grace period.
   */
  goAway(): void {
    const calls = this.#calls;
    const close = () => this.closeWith(CLOSE.GOING_AWAY, "the service is shutting down");
    if (calls === undefined || calls.isIdle) return close();
    calls.whenIdle(close);
    setTimeout(close, CALLS_GRACE_MS).unref();
  }

  /** Ends all subscriptions and closes the socket. */
  closeWith(code: number, reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#socket.close(code, reason);
  }
}
