import { StreamError } from "../core/errors.ts";
import { FewMap } from "../core/few-map.ts";
import { type GroupKey, checkGroup, checkName } from "../core/names.ts";
import type { TokenBucket } from "../limits/token-bucket.ts";
import type { Caller } from "../rights/caller.ts";
import { expired } from "../service/calls.ts";
import type { Position } from "../core/position.ts";
import type { Admission } from "../service/handlers.ts";
import { type ClientFrame, type JoinFrame, plainJoin, readClientFrame } from "./client-frame.ts";
import type { CallFrame } from "./call-frame.ts";
import { CLOSE, closeCodeOf } from "./close-codes.ts";
import { Expiry, type ExpiryOwner } from "./expiry.ts";
import { type Dialect, usesExtension } from "./extensions.ts";
import type { FeedOwner, GroupFeed, Join } from "./group-feed.ts";
import { GroupFeeds } from "./group-feeds.ts";
import { Hello, type HelloOwner } from "./hello.ts";
import { invalid } from "./invalid.ts";
import { JoinTurns } from "./join-turns.ts";
import {
  type ByUrl,
  type JoinedFeed,
  type Joining,
  admittedBy,
  endJoining,
  newJoin,
  requireRightTo,
  withoutRight,
} from "./joined.ts";
import { expiredFrame } from "./notice-frame.ts";
import { SendQueue } from "./send-queue.ts";
import { endedFrame, errorFrame, refusalFrame } from "./server-frame.ts";
import { changePresence, showPresence } from "./shown-presence.ts";
import type { SocketSession } from "./socket-session.ts";
import type { SessionOptions, SessionSocket } from "./session-options.ts";
import type { Target } from "./target.ts";
import { UrlJoin } from "./url-join.ts";

/**
 * The session of one socket: reads the client's frames and manages its subscriptions.
 *
 * All subscriptions of one group share a feed. Frames that the socket cannot take stay in the
 * bounded queues of the subscriptions (G7).
 */
export class BridgeSession implements FeedOwner, ExpiryOwner, HelloOwner {
  readonly door = "socket";
  readonly #options: SessionOptions;
  readonly #socket: SessionSocket;
  readonly #sendQueue: SendQueue;
  readonly #joined = new FewMap<string, JoinedFeed>();
  readonly #feeds = new GroupFeeds();
  readonly #turns: JoinTurns;
  /** The URL's subscription; undefined: it requested none. */
  #url: UrlJoin | undefined;
  /** Replaced when it renews its credentials. */
  #caller: Caller;
  /** The end of the caller's credentials; undefined: they have none. */
  readonly #expiry: Expiry | undefined;
  #joining: Set<Joining> | undefined;
  /** The admissions of joins whose presence is being stored. */
  #announcing: Set<Admission> | undefined;
  #malformed = 0;
  #dialect: Dialect = "unknown";
  #hello: Hello | undefined;
  #closed = false;

  /** @param subscriptions Limits the rate of joins. */
  constructor(
    options: SessionOptions,
    socket: SessionSocket,
    subscriptions: TokenBucket,
    caller: Caller,
  ) {
    this.#options = options;
    this.#turns = new JoinTurns(options.limits, subscriptions, this);
    this.#caller = caller;
    this.#socket = socket;
    this.#expiry = Expiry.of(caller, socket, options, this);
    this.#sendQueue = new SendQueue(this.#expiry ?? socket);
  }

  /** Subscribes to the target of the socket's URL. */
  joinByUrl(target: Target, subscriptionId: string): void {
    this.#enqueueJoin(plainJoin(target, subscriptionId), true);
    const { streamName, groupId, itemId } = target;
    this.#url = new UrlJoin({ streamName, groupId, itemId, subscriptionId });
  }

  /** Receives a frame of the client; undefined when it was not valid UTF-8. */
  receive(text: string | undefined): void {
    if (this.#closed || this.#hello?.keeps(text) === true) return;
    const isFirst = this.#dialect === "unknown";
    if (isFirst) this.#dialect = "original";
    try {
      const frame = readClientFrame(text ?? "", this.saidHello);
      if (isFirst && frame.type !== "hello") this.#url?.onFrame(this.#dialect);
      if (frame.type === "call") this.#helloOf("call").call(frame, text?.length ?? 0);
      else if (!this.saidHello || this.#socket.admitFrame()) this.#process(frame, isFirst);
    } catch (error) {
      this.refuseFrame(StreamError.from(error));
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

  /** @throws StreamError when the frame comes at the wrong time. */
  #process(frame: Exclude<ClientFrame, CallFrame>, isFirst: boolean): void {
    switch (frame.type) {
      case "hello":
        if (!isFirst) throw invalid("hello", "is not the first frame of the socket", "that, once");
        this.#dialect = "hello";
        this.#url?.onFrame("hello");
        this.#hello = new Hello(this.#options, this, this.#socket, this.#sendQueue);
        return void this.#hello.greet(frame.session);
      case "token":
        return this.#helloOf("token").renew(frame.token, this.#expiry);
      case "join":
        if (this.#dialect === "original" && usesExtension(frame)) this.#dialect = "extended";
        return this.#enqueueJoin(frame, false);
      case "leave": {
        const { subscriptionId } = frame;
        if (this.#joined.has(subscriptionId) || this.#turns.has(subscriptionId))
          this.#turns.run(subscriptionId, true, () => this.#leave(subscriptionId));
        return;
      }
      case "presence": {
        const { subscriptionId } = frame;
        const { handlers } = this.#options;
        this.#turns.run(subscriptionId, undefined, () =>
          changePresence(frame, this.#joined.get(subscriptionId), this, handlers),
        );
      }
    }
  }

  /** @throws StreamError when the client has not said hello. */
  #helloOf(type: string): Hello {
    if (this.#hello !== undefined) return this.#hello;
    throw invalid(type, "came without a hello", "sent after a hello, the first frame");
  }

  /**
   * Subscriptions without a right end, the others miss nothing.
   *
   * @see HelloOwner
   */
  changeCaller(caller: Caller): void {
    this.#caller = caller;
    this.#url?.wait();
    const all = [...this.#joined.values(), ...(this.#joining ?? [])];
    for (const [admission, error] of withoutRight(all, caller, this.#options))
      this.end(admission, error);
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
    this.reply(endedFrame(error, join, join.subscriptionId, this.#dialect === "hello"));
  }

  /** @see ExpiryOwner */
  onExpired(): boolean {
    const mayRenew = this.#dialect === "hello";
    if (mayRenew) this.reply(expiredFrame());
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

  /** @see SubscriptionHolder */
  get session(): SocketSession | undefined {
    return this.#hello?.session;
  }

  /** @see SessionHolder */
  onTaken(): void {
    this.closeWith(CLOSE.TAKEN_OVER, "another socket has taken up the session");
  }

  /**
   * Ends all subscriptions, or suspends those of a session. Idempotent.
   *
   * @param isOver Whether the session has ended, too. Otherwise it is lost.
   */
  close(isOver = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#expiry?.close();
    this.#sendQueue.close();
    this.#feeds.close();
    for (const { join } of this.#joined.values()) this.#part(join.admission, join.byUrl);
    this.#joined.clear();
    for (const admission of this.#announcing ?? []) this.#part(admission, false);
    this.#hello?.close(isOver);
  }

  /** Releases the admission of a subscription: when the socket has closed, it may be suspended. */
  #part(admission: Admission, byUrl: boolean): void {
    // No join can continue that of the URL, whose id is new each time.
    if (!this.#closed || this.#hello === undefined || byUrl) admission.leave();
    else this.#hello.part(admission);
  }

  /** @see HelloOwner */
  refuseFrame(error: StreamError): void {
    this.reply(errorFrame(error, undefined, error.metadata["subscriptionId"]));
    this.#malformed++;
    if (this.#malformed >= this.#options.limits.maxMalformedFrames)
      this.closeWith(CLOSE.MALFORMED, "too many malformed frames");
  }

  #enqueueJoin(frame: JoinFrame, byUrl: boolean): void {
    const { subscriptionId } = frame;
    const url = this.#url?.matching(frame);
    this.#turns.join(subscriptionId, url?.subscriptionId, this.#joined.keys(), () =>
      this.#join(frame, byUrl, url),
    );
  }

  /**
   * @param url The URL's subscription, when this join has the same target. The queue keeps others
   * from it.
   */
  async #join(frame: JoinFrame, byUrl: boolean, url: ByUrl | undefined): Promise<void> {
    if (this.#closed) return;
    const { subscriptionId, streamName, groupId, itemId, resume } = frame;
    const target: Target = { streamName, groupId, itemId };
    const { handlers } = this.#options;
    let feed: GroupFeed | undefined;
    let admission: Admission | undefined;
    let taken: JoinedFeed | undefined;
    let joining: Joining | undefined;
    try {
      if (itemId !== undefined) checkName("id", itemId);
      checkGroup(target);
      if (this.#expiry?.isOver === true) throw expired();
      if (frame.presence !== undefined) handlers.requirePresence(target, this.#caller);
      taken = url && this.#url?.claim(url, this.#joined);
      const caller = this.#caller;
      // A join of a session must be known by its own id on the next socket.
      const shared = this.session === undefined ? taken?.join.admission : undefined;
      const request = { ...target, subscriptionId, isProvisional: byUrl };
      admission = shared ?? (await handlers.admit(request, this));
      if (byUrl && !this.#closed) this.#url?.admitted(admission, this.#dialect);
      const isPresent = (frame.presence ?? admission.presence) !== undefined;
      if (isPresent && !this.#closed && !(await this.#announce(frame, admission))) return;
      if (this.#closed) return this.#part(admission, byUrl);
      if (admission.ended !== undefined) throw admission.ended;
      if (caller !== this.#caller) requireRightTo(target, this.#caller, this.#options);
      const join = newJoin(frame, byUrl, admission);
      const sees = this.saidHello && handlers.seesAuthors(this.#caller, streamName);
      feed = this.#feeds.use({ streamName, groupId }, this.#options, this.#sendQueue, this, sees);
      joining = { join, feed, taken, ended: undefined };
      (this.#joining ??= new Set()).add(joining);
      await feed.join(join, resume);
      if (joining.ended !== undefined) throw joining.ended;
      // The replaced subscription ends only here, because a refused join must leave it in place.
      if (taken?.join.subscriptionId !== subscriptionId) this.#leave(subscriptionId);
      // It may have been ended meanwhile.
      if (taken !== undefined && this.#joined.get(taken.join.subscriptionId) === taken) {
        this.#detach(taken);
        if (shared === undefined) this.#url?.withdraw(taken.join.admission);
      }
      if (this.#closed) return this.#part(admission, byUrl);
      this.#joined.set(subscriptionId, { join, feed });
    } catch (error) {
      if (feed !== undefined) this.#feeds.release(feed);
      if (admission !== undefined && admission !== taken?.join.admission)
        this.#part(admission, byUrl);
      // The URL's subscription continues, and keeps its admission.
      if (taken !== undefined && url !== undefined) this.#url?.restore(url);
      if (joining?.ended === undefined)
        this.#refuse(StreamError.from(error), target, subscriptionId);
      else this.#notifyOfEnd(joining.join, joining.ended);
    } finally {
      if (joining !== undefined) this.#joining?.delete(joining);
      if (this.#joining?.size === 0) this.#joining = undefined;
    }
  }

  /** @returns Whether the socket is still open. Otherwise its end has released the admission. */
  async #announce(frame: JoinFrame, admission: Admission): Promise<boolean> {
    (this.#announcing ??= new Set()).add(admission);
    try {
      await showPresence(frame, admission, this, this.#options.handlers);
    } catch (error) {
      if (!this.#closed) throw error;
    } finally {
      this.#announcing?.delete(admission);
    }
    return !this.#closed;
  }

  /**
   * Reports a join that failed, at once or while its snapshot was sent. When the error is
   * retryable, the socket of a client without extensions is closed, because it rejoins only after a
   * close.
   */
  #refuse(error: StreamError, target: Target, subscriptionId: string): void {
    this.reply(refusalFrame(error, target, subscriptionId, this.#dialect === "hello"));
    if (error.retryable && this.#dialect !== "extended" && this.#dialect !== "hello")
      this.closeWith(closeCodeOf(error), "a join failed for now; come back in a moment");
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
    this.#feeds.release(feed);
  }

  /** @see FeedOwner */
  onRefused(join: Join, error: StreamError): void {
    this.#refuse(error, join, join.subscriptionId);
    if (this.#closed) return;
    // Queued, because its join may still be under way.
    this.#turns.run(join.subscriptionId, true, () => {
      if (this.#joined.get(join.subscriptionId)?.join === join) this.#leave(join.subscriptionId);
    });
  }

  /** @see HelloOwner */
  reply(frame: Buffer): void {
    if (!this.#closed && !this.#sendQueue.reply(frame))
      this.closeWith(CLOSE.SLOW_SUBSCRIBER, "responses are not read");
  }

  /**
   * Sends the error and closes the socket: the client reconnects and rejoins all its subscriptions.
   *
   * @see FeedOwner
   */
  onEnd(group: GroupKey, error: StreamError): void {
    this.reply(errorFrame(error, { ...group, itemId: undefined }, undefined));
    const code = closeCodeOf(error);
    if (code === CLOSE.GOING_AWAY) this.goAway();
    else this.closeWith(code, error.reason);
  }

  /** Closes the socket because the service shuts down, once its open calls have their results. */
  goAway(): void {
    const close = () => this.closeWith(CLOSE.GOING_AWAY, "the service is shutting down");
    if (this.#hello === undefined) close();
    else this.#hello.whenIdle(close);
  }

  /** Ends all subscriptions and closes the socket. */
  closeWith(code: number, reason: string): void {
    if (this.#closed) return;
    this.close(code === CLOSE.EXPIRED);
    this.#socket.close(code, reason);
  }
}
