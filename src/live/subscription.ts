import type { LiveEvent, LoggedChange } from "../core/change.ts";
import { StreamError } from "../core/errors.ts";
import type { Frame } from "../core/frame.ts";
import { ORIGIN, type Position, isAfter, isNext } from "../core/position.ts";
import { isJoinable, mergeReplay } from "../core/replay.ts";
import type { Channel, Follower } from "./channel.ts";
import { FrameIterator, type Reader } from "./frame-iterator.ts";
import { FrameQueue } from "./frame-queue.ts";
import { CatchUpReader } from "./catch-up-reader.ts";
import { SlidingWindow } from "./sliding-window.ts";
import type { SubscriptionOptions } from "./subscription-options.ts";

const NOTHING: readonly LiveEvent[] = [];
/** Pause before a subscription repeats a read that found nothing, in milliseconds. */
const RETRY_MS = 20;

/**
 * One subscription: a reader pulls frames, the channel pushes events, a bounded queue lies between.
 *
 *     loading --caught up with the channel--> live
 *        ^                                     |
 *        '---- queue over its limits ----------'   (dropped; replay from the last frame taken)
 *        '---- channel reset ------------------'   (fresh snapshot)
 *     any --close, error--> ended
 *
 * While loading, parts of a snapshot or of the log are read as the reader takes them, and a sliding
 * window holds the last events of the channel. Once the window begins at or before the position
 * read so far, the two are joined and the subscription is live: a slow reader never costs more than
 * the limits (G7, G3).
 */
export class Subscription implements Follower {
  /** @see Follower */
  received = 0;
  readonly #options: SubscriptionOptions;
  readonly #queue: FrameQueue;
  /** The last events that the channel released while loading. */
  readonly #window: SlidingWindow;
  #phase: "loading" | "live" | "ended" = "loading";
  readonly #catchUp: CatchUpReader;
  /** Timestamp of the last snapshot, which contains everything up to then. */
  #syncTimestamp = 0;
  /** Revision that the last `resumed` promised: no transient event precedes it. */
  #promised = 0;
  #reading = false;
  /** The events that the channel is releasing, and how many of them are processed. */
  #released: readonly LiveEvent[] = NOTHING;
  #through = 0;
  /** Everything up to here was queued or taken. */
  #cursor: Position = ORIGIN;
  /** Everything up to here was taken by the reader. */
  #taken: Position = ORIGIN;

  #error: StreamError | undefined;
  #cursorWatch: { readonly revision: number; readonly callback: () => void } | undefined;
  #endListeners: readonly (() => void)[] = [];
  #reader: Reader | undefined;
  /** When the reader last took a frame or found none, Unix milliseconds. */
  #progressAtMs: number;
  /** When the reader last took a frame with a position, Unix milliseconds. */
  #bookmarkAtMs: number;

  private constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#catchUp = new CatchUpReader(options);
    this.#queue = new FrameQueue(options.limits);
    this.#window = new SlidingWindow(options.limits, options.channel.position);
    this.#progressAtMs = this.#bookmarkAtMs = options.now();
  }

  /**
   * Starts to follow. Resolves when the first frame can be read: `sync`, or `resumed` (G4).
   * @throws StreamError when the state cannot be read, or the memory of unread snapshots is full.
   */
  static async open(options: SubscriptionOptions): Promise<Subscription> {
    const subscription = new Subscription(options);
    options.channel.follow(subscription);
    try {
      if (options.resumeFrom === undefined || !(await subscription.#resume(options.resumeFrom))) {
        options.unread.check();
        await subscription.#loadPart();
        options.unread.check();
      }
    } catch (error) {
      subscription.#end(StreamError.from(error));
      throw error;
    }
    return subscription;
  }

  /** The feed it follows. */
  get channel(): Channel {
    return this.#options.channel;
  }

  /** @see Follower */
  get takesDeltas(): boolean {
    return this.#options.interest.deltas;
  }

  /** Everything of interest up to here can be read, or was taken. */
  get cursor(): Position {
    return this.#cursor;
  }

  /** Calls back once, when the cursor may have reached this revision, or it has ended. */
  onCursor(revision: number, callback: () => void): void {
    if (this.#cursor.revision >= revision || this.ended) callback();
    else this.#cursorWatch = { revision, callback };
  }

  /** Whether it has caught up: the next frame comes to all such subscriptions of the group. */
  get isLive(): boolean {
    return this.#phase === "live";
  }

  /** Whether it has ended: no frame follows. */
  get ended(): boolean {
    return this.#phase === "ended";
  }

  /** Why the service ended it; undefined while open, and after close(). */
  get error(): StreamError | undefined {
    return this.#error;
  }

  /**
   * Takes the next frame; undefined when there is none now. Frames not taken by the end are lost.
   */
  read(): Frame | undefined {
    this.#progressAtMs = this.#options.now();
    if (this.#queue.length === 0) this.#catchUp.release();
    let frame = this.#queue.shift() ?? this.#takeReleased();
    if (frame === undefined && this.#phase === "loading") {
      this.#load();
      frame = this.#queue.shift();
    }
    if (frame === undefined) return undefined;
    this.#markTaken(frame);
    // Joins as early as possible: once live, the queue keeps events that the window would drop.
    if (this.#phase === "loading" && this.#queue.length === 0 && !this.#reading) this.#join();
    return frame;
  }

  /**
   * Wakes the reader once, when read() may return a frame again or it has ended. To be called after
   * read() returned undefined.
   */
  onReadable(reader: Reader): void {
    if (this.#queue.length > 0 || this.ended) return reader.wake();
    const earlier = this.#reader;
    this.#reader = earlier === undefined ? reader : { wake: () => (earlier.wake(), reader.wake()) };
  }

  /** Calls back once, when it has ended for any reason; at once if it already has. */
  onEnd(callback: () => void): void {
    if (this.ended) callback();
    else this.#endListeners = this.#endListeners.concat(callback);
  }

  /** Its frames one by one. Leaving the loop ends the subscription: iterate it only once. */
  [Symbol.asyncIterator](): FrameIterator {
    return new FrameIterator(this);
  }

  /** Ends it from the reader's side. Idempotent. */
  close(): void {
    this.#end(undefined);
  }

  /** Ends it from the service's side, with an error for the reader. */
  fail(error: StreamError): void {
    this.#end(error);
  }

  /** How long frames have waited for the reader, in milliseconds; 0 when it has taken all. */
  stalledMs(nowMs: number): number {
    const waiting = this.#queue.length > 0 || (this.#phase === "loading" && !this.#reading);
    return waiting ? nowMs - this.#progressAtMs : 0;
  }

  /** Milliseconds since the reader received a frame with a position; 0 while frames wait for it. */
  quietMs(nowMs: number): number {
    if (this.#queue.length > 0) return 0;
    const sinceMs = this.#options.interest.quietSinceMs?.() ?? Infinity;
    return nowMs - Math.min(this.#bookmarkAtMs, sinceMs);
  }

  /** Queues a heartbeat: the store has just confirmed the channel's position (G5). */
  heartbeat(): void {
    const position = this.channel.delivered;
    if (this.#phase !== "live" || this.#queue.length > 0) return;
    // The group was forgotten while its snapshot was read: the reader's history is lost.
    if (position.epoch !== this.#cursor.epoch) return this.reset();
    this.#queue.push({ kind: "heartbeat", position });
    this.#wake();
  }

  /** @see Follower */
  release(events: readonly LiveEvent[]): void {
    // Reentrant: an event that is being released may make it live, which releases more.
    const outer = this.#released;
    const outerThrough = this.#through;
    this.#released = events;
    this.#through = 0;
    while (this.#through < events.length) this.#releaseNext(events[this.#through] as LiveEvent);
    this.#released = outer;
    this.#through = outerThrough;
  }

  /** @see Follower */
  reset(): void {
    if (this.#phase === "ended") return;
    this.#queue.clear();
    this.#options.interest.reset?.();
    this.#startLoading("snapshot", this.channel.position);
  }

  #releaseNext(event: LiveEvent): void {
    const at = this.#through;
    if (this.#phase === "live" && this.#options.interest.matches(event.itemId)) {
      // A waiting reader has taken everything before: it takes this event, and more, itself.
      this.#wake();
      if (this.#through !== at) return;
    }
    this.#through++;
    if (this.#phase === "loading") this.#window.slide(event);
    else if (this.#phase === "live" && this.#shouldDeliver(event)) {
      if (this.#queue.offer(event)) this.#pass(event);
      else this.#fallBehind(event);
    }
  }

  /** The next event being released, for a reader that has taken everything before it. */
  #takeReleased(): LiveEvent | undefined {
    while (this.#phase === "live") {
      const event = this.#released[this.#through];
      if (event === undefined) return undefined;
      this.#through++;
      if (!this.#shouldDeliver(event)) continue;
      this.#pass(event);
      return event;
    }
    return undefined;
  }

  /** Whether to deliver a live event. One that leaves a gap makes the subscription load again. */
  #shouldDeliver(event: LiveEvent): boolean {
    if (event.kind !== "event") {
      if (!isAfter(event.position, this.#cursor)) return false;
      if (!isNext(event.position, this.#cursor)) {
        this.#fallBehind(event);
        return false;
      }
    } else if (event.timestamp <= this.#syncTimestamp || this.#cursor.revision < this.#promised)
      return false;
    if (this.#options.interest.matches(event.itemId)) return true;
    this.#pass(event);
    return false;
  }

  /** Advances the cursor past an event that was queued, taken or filtered out. */
  #pass(event: LiveEvent): void {
    if (event.kind === "event") return;
    this.#advance(event.position);
    if (this.#queue.length === 0) this.#taken = this.#cursor;
  }

  /** Drops the queue: changes that the reader has not taken are read from the log again. */
  #fallBehind(event: LiveEvent): void {
    // A transient event may be late: the cursor may be beyond the position that it was sent after.
    const released = event.kind === "event" ? this.#cursor : event.position;
    this.#queue.clear();
    this.#cursor = this.#taken;
    this.#startLoading("log", released);
  }

  /** @param feedStart The window holds the events that the channel releases after this. */
  #startLoading(source: "snapshot" | "log", feedStart: Position): void {
    this.#phase = "loading";
    this.#catchUp.start(source);
    if (source === "snapshot") this.#promised = 0;
    this.#window.restart(feedStart);
    this.#wake();
  }

  async #resume(from: Position): Promise<boolean> {
    const replay = await this.#catchUp.resume(from);
    this.channel.deliverPending(this);
    // A channel that was reset meanwhile continues with a history that may be another one.
    if (replay === undefined || replay.lost) return false;
    this.#catchUp.start("log");
    this.#cursor = this.#taken = from;
    this.#promised = replay.head.revision;
    this.#queue.push({ kind: "resumed", position: from, head: replay.head });
    this.#replay(replay.changes);
    return true;
  }

  /** Continues loading until a frame can be read or the subscription is live. */
  #load(): void {
    if (this.#reading || this.#join()) return;
    this.#loadPart().catch((error: unknown) => this.#end(StreamError.from(error)));
  }

  async #loadPart(): Promise<void> {
    this.#reading = true;
    try {
      do await this.#readPart();
      while (this.#phase === "loading" && this.#queue.length === 0 && !this.#join());
    } finally {
      this.#reading = false;
    }
    if (this.#queue.length > 0) this.#wake();
  }

  /** Reads one part of the snapshot or of the log into the queue. */
  async #readPart(): Promise<void> {
    const { channel } = this.#options;
    const asked = channel.position;
    const part = await this.#catchUp.next(this.#cursor);
    channel.deliverPending(this);
    if (part?.kind === "log") {
      // A member that needs whole values has begun to join, and its snapshot may be earlier.
      if (!this.takesDeltas && part.changes.some(({ kind }) => kind === "delta")) return;
      this.#replay(part.changes);
      const isInReach = isJoinable(this.#cursor, this.#window.start);
      if (part.changes.length === 0 && !isInReach && this.#phase === "loading")
        await this.#mendChannel(part.head, asked);
    } else if (part !== undefined) {
      this.#promised = 0;
      this.#queue.push(part.frame);
      this.#advance(part.frame.position);
      this.#syncTimestamp = part.frame.timestamp;
    }
  }

  /** Makes a channel that missed a lost history continue from the end of the log. */
  async #mendChannel(head: Position, asked: Position): Promise<void> {
    const { channel } = this.#options;
    await channel.confirm({ position: head, timestamp: 0 }, asked).catch(() => {});
    // Reading again at once would starve other work.
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }

  #replay(changes: readonly LoggedChange[]): void {
    const { merged, left } = mergeReplay(changes, this.#window.drain(), this.#promised);
    const { interest } = this.#options;
    for (const event of merged) if (interest.matches(event.itemId)) this.#queue.push(event);
    this.#window.putBack(left);
    this.#advance(changes.at(-1)?.position ?? this.#cursor);
    if (this.#queue.length === 0) this.#taken = this.#cursor;
  }

  /** Becomes live when the window begins at or before the cursor. */
  #join(): boolean {
    if (this.#catchUp.source === "snapshot" || !isJoinable(this.#cursor, this.#window.start))
      return false;
    this.#phase = "live";
    this.release(this.#window.drain());
    return this.#phase === "live";
  }

  #advance(cursor: Position): void {
    this.#cursor = cursor;
    const watch = this.#cursorWatch;
    if (watch === undefined || cursor.revision < watch.revision) return;
    this.#cursorWatch = undefined;
    watch.callback();
  }

  #wake(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    // The reader had taken every frame: the stall timeout starts now.
    this.#progressAtMs = this.#options.now();
    reader.wake();
  }

  #markTaken(frame: Frame): void {
    if (frame.kind === "event") return;
    this.#bookmarkAtMs = this.#progressAtMs;
    if (frame.kind === "sync" && !frame.last) return;
    this.#taken =
      this.#queue.length === 0 && this.#phase === "live" ? this.#cursor : frame.position;
  }

  #end(error: StreamError | undefined): void {
    if (this.#phase === "ended") return;
    this.#phase = "ended";
    this.#error = error;
    this.#catchUp.start("snapshot");
    this.#queue.clear();
    this.#window.drain();
    this.channel.unfollow(this);
    for (const listener of this.#endListeners) listener();
    this.#cursorWatch?.callback();
    this.#wake();
  }
}
