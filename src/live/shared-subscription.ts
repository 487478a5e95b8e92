import type { ChangeEvent, Item, TransientEvent } from "../core/change.ts";
import { StreamError } from "../core/errors.ts";
import { FewMap } from "../core/few-map.ts";
import type { Frame, HeartbeatFrame, ResumedFrame, SyncFrame } from "../core/frame.ts";
import { ORIGIN, type Position } from "../core/position.ts";
import { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { Audience } from "./audience.ts";
import type { GroupStates } from "./group-states.ts";
import { Insertion } from "./insertion.ts";
import type { Interest } from "./interest.ts";
import type { StateReader } from "./state-reader.ts";
import type { Reader } from "./reader.ts";
import type { Subscription } from "./subscription.ts";

/** One of those who share a subscription. Identity counts, so one object is one member. */
export interface Member {
  /** Follows this item; undefined: the whole group. */
  readonly itemId: string | undefined;
}

/** What is to be sent: to one member, or once for all whom the event concerns. */
export type SharedFrame<M extends Member> =
  | { readonly to: M; readonly frame: SyncFrame | ResumedFrame | HeartbeatFrame }
  | { readonly to: undefined; readonly frame: ChangeEvent | TransientEvent };

/** How a shared subscription works. */
export interface SharedSubscriptionOptions {
  /** Opens the subscription of the group. */
  readonly subscribe: (
    interest: Interest,
    resumeFrom: Position | undefined,
  ) => Promise<Subscription>;
  /** What snapshots hold for subscribers that have not read them. Default: its own, with the default limit. */
  readonly memory?: SnapshotMemory | undefined;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** What a member who has had its snapshot, or was resumed, knows. */
interface Bookmark {
  /** Events up to here are part of its snapshot. */
  readonly timestamp: number;
  /** When it got its last sync, resumed or heartbeat, Unix milliseconds. */
  readonly atMs: number;
}

/**
 * One subscription to a group, shared by several members with one cursor: what a socket needs whose
 * subscriptions overlap. Each event comes once, however many members it concerns, and events of the
 * group keep their order over all members.
 *
 * The first member opens the subscription. A later one gets a snapshot of its own at a position P: the
 * frames up to P go out first, for the others; then the snapshot; then what comes after P, for all. So
 * its snapshot is at or after everything that was sent before. One member joins at a time.
 *
 * When history is lost, or the log no longer reaches back, a snapshot for all opens a new segment.
 */
export class SharedSubscription<M extends Member> implements Interest, Reader {
  /** What snapshots hold for subscribers that have not read them. */
  readonly memory: SnapshotMemory;
  readonly #options: SharedSubscriptionOptions;
  #subscription: Subscription | undefined;
  /** Those whose turn to join has not come yet. */
  readonly #queued = new FewMap<M, true>();
  readonly #members = new FewMap<M, true>();
  /** What the members follow. */
  readonly #wanted = new Audience();
  /** Members who had their snapshot, or were resumed. */
  readonly #active = new FewMap<M, Bookmark>();
  /** What the active members follow. */
  readonly #heard = new Audience();
  /** Members whom the last opening of a segment serves, with the item found for those who follow one. */
  readonly #served = new FewMap<M, Item | undefined>();
  /** Whether a snapshot for all is to come, or parts of it. */
  #inSync = false;
  /** Of the member who joins now. */
  #insertion: Insertion<M> | undefined;
  /** Up to here all was sent that anybody wants, whatever is read again. */
  #floor: Position = ORIGIN;
  /** A frame that was read but has to wait for the insertion. */
  #heldBack: Frame | undefined;
  #out: SharedFrame<M>[] = [];
  #lastJoin: Promise<unknown> = Promise.resolve();
  #reader: Reader | undefined;
  #onEnd: ((error: StreamError) => void) | undefined;
  /** The subscription that will call when it is readable. */
  #listeningTo: Subscription | undefined;
  #closed = false;

  constructor(options: SharedSubscriptionOptions) {
    this.#options = options;
    this.memory = options.memory ?? new SnapshotMemory();
  }

  /** Why the service ended it; undefined while it goes on. */
  get error(): StreamError | undefined {
    return this.#subscription?.error;
  }

  /**
   * Adds a member. Resolves when its first frame is there to be read, or it left before. Joins wait for
   * one another, and all but the first go on only while somebody reads.
   *
   * @param resumeFrom Honoured only for the first member: to a later one its snapshot is the answer.
   * @throws StreamError when the state cannot be read, or the subscription ended.
   */
  join(member: M, resumeFrom?: Position): Promise<void> {
    this.#queued.set(member, true);
    const join = this.#lastJoin.then(() => this.#join(member, resumeFrom));
    this.#lastJoin = join.then(() => this.#insertion?.over).catch(() => {});
    return join;
  }

  /** Removes a member. The last one to go ends the subscription; a later join opens it anew. */
  leave(member: M): void {
    if (this.#queued.delete(member) || !this.#members.delete(member)) return;
    this.#wanted.remove(member.itemId);
    if (this.#active.delete(member)) this.#heard.remove(member.itemId);
    this.#served.delete(member);
    this.#out = this.#out.filter(({ to }) => to !== member);
    if (this.#insertion?.member === member) {
      this.#insertion.end();
      this.#wake();
    }
    if (this.#members.size === 0) this.#letGo();
  }

  /** Takes the next frame; undefined when there is none now. */
  read(): SharedFrame<M> | undefined {
    for (;;) {
      if (this.#out.length > 0) return this.#out.shift();
      const insertion = this.#insertionUnderWay();
      if (insertion?.isReading === true) return undefined;
      if (insertion?.isBegun === true) {
        this.#insert(insertion);
        continue;
      }
      const frame = this.#heldBack ?? this.#subscription?.read();
      this.#heldBack = undefined;
      if (insertion !== undefined && !this.#inSync && insertion.isDue(frame)) {
        this.#heldBack = frame;
        this.#insert(insertion);
      } else if (frame === undefined) return undefined;
      else if (frame.kind === "change" || frame.kind === "event") {
        if (this.#concerns(frame)) return { to: undefined, frame };
      } else this.#distribute(frame);
    }
  }

  /**
   * Asks to be woken, once, when read() may give a frame again, or it ends. To be used after read()
   * gave undefined. A later call takes the place of an earlier one.
   */
  onReadable(reader: Reader): void {
    this.#reader = reader;
    const subscription = this.#subscription;
    const insertion = this.#insertionUnderWay();
    // An insertion wakes the reader when it has read a part.
    if (subscription === undefined || subscription.ended || insertion?.isReading === true) return;
    if (insertion !== undefined) this.#awaitCursor(subscription, insertion);
    if (this.#listeningTo === subscription) return;
    this.#listeningTo = subscription;
    subscription.onReadable(this);
  }

  /**
   * The subscription is readable. One that was let go of wakes a reader who finds nothing.
   *
   * @see Reader
   */
  wake(): void {
    this.#listeningTo = undefined;
    this.#wake();
  }

  /** Asks to be called when the service ends it, with the reason. */
  onEnd(callback: (error: StreamError) => void): void {
    this.#onEnd = callback;
  }

  /** Ends it for all members. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#queued.clear();
    for (const member of Array.from(this.#members.keys())) this.leave(member);
    this.#wake();
  }

  /** @see Interest */
  matches(itemId: string | undefined): boolean {
    return this.#wanted.wants(itemId);
  }

  /** @see Interest */
  reset(): void {
    this.#heldBack = undefined;
    this.#inSync = true;
  }

  /** @see Interest */
  readState(states: GroupStates): StateReader {
    this.reset();
    this.#served.clear();
    for (const member of this.#members.keys()) this.#served.set(member, undefined);
    if (this.#wanted.wantsAll) return states.readGroup();
    return states.readItems(this.#wanted.itemIds);
  }

  /** @see Interest */
  quietSinceMs(): number {
    let oldestMs = Infinity;
    for (const [{ itemId }, { atMs }] of this.#active)
      oldestMs = Math.min(oldestMs, Math.max(atMs, this.#heard.toldAtMs(itemId)));
    return oldestMs;
  }

  async #join(member: M, resumeFrom: Position | undefined): Promise<void> {
    if (this.#closed) throw new StreamError("SHUTTING_DOWN", "The connection is closing.");
    if (!this.#queued.delete(member)) return;
    if (this.error !== undefined) throw this.error;
    this.#members.set(member, true);
    this.#wanted.add(member.itemId);
    try {
      if (this.#subscription === undefined) await this.#open(member, resumeFrom);
      else await this.#joinBeside(this.#subscription, member);
    } catch (error) {
      this.leave(member);
      throw error;
    }
  }

  async #open(member: M, resumeFrom: Position | undefined): Promise<void> {
    this.#served.clear();
    this.#served.set(member, undefined);
    this.#inSync = false;
    const subscription = await this.#options.subscribe(this, resumeFrom);
    // It left meanwhile, and nobody else can have joined.
    if (!this.#members.has(member)) return subscription.close();
    this.#subscription = subscription;
    subscription.onEnd(() => {
      if (this.#subscription !== subscription) return;
      this.#insertion?.end(subscription.error);
      if (subscription.error !== undefined) this.#onEnd?.(subscription.error);
    });
    this.#wake();
  }

  #joinBeside(subscription: Subscription, member: M): Promise<void> {
    this.memory.check();
    this.#insertion = new Insertion(member, subscription, this.memory, () => this.#wake());
    return this.#insertion.begun;
  }

  #insertionUnderWay(): Insertion<M> | undefined {
    if (this.#insertion?.isOver === true) this.#insertion = undefined;
    return this.#insertion;
  }

  #insert(insertion: Insertion<M>): void {
    const { member } = insertion;
    const frame = insertion.take();
    // A replay after this may hold changes that only the new member wants, and knows.
    this.#floor = frame.position;
    this.#activate(member, frame.timestamp);
    this.#put({ to: member, frame });
  }

  /** Puts out what one or each member is to be sent by itself. */
  #distribute(frame: SyncFrame | ResumedFrame | HeartbeatFrame): void {
    switch (frame.kind) {
      case "sync":
        return this.#distributeSync(frame);
      case "resumed":
        for (const to of this.#served.keys()) {
          this.#activate(to, 0);
          this.#put({ to, frame });
        }
        return;
      case "heartbeat":
        for (const [to, { timestamp }] of this.#active) {
          this.#activate(to, timestamp);
          this.#put({ to, frame });
        }
    }
  }

  /** Whether an event is news to an active member who follows its item. */
  #concerns(event: ChangeEvent | TransientEvent): boolean {
    const { itemId, timestamp } = event;
    if (event.kind === "change") {
      if (!this.#heard.wants(itemId) || this.#isBelowFloor(event)) return false;
      this.#heard.tell(event.itemId, this.#options.now());
      return true;
    }
    for (const [member, known] of this.#active) {
      const follows = member.itemId === undefined || member.itemId === itemId;
      if (follows && timestamp > known.timestamp) return true;
    }
    return false;
  }

  #isBelowFloor({ position }: ChangeEvent): boolean {
    return position.epoch === this.#floor.epoch && position.revision <= this.#floor.revision;
  }

  #put(frame: SharedFrame<M>): void {
    // A literal is as long as it needs to be; mostly there is one.
    if (this.#out.length === 0) this.#out = [frame];
    else this.#out.push(frame);
  }

  /** A snapshot for all: each member gets what it follows of it. */
  #distributeSync(frame: SyncFrame): void {
    this.#inSync = !frame.last;
    if (frame.first) this.#reviewInsertion(frame);
    let items: Map<string, Item> | undefined;
    for (const [member, before] of this.#served) {
      this.#activate(member, frame.timestamp);
      const { itemId } = member;
      if (itemId === undefined) {
        this.#put({ to: member, frame });
        continue;
      }
      items ??= new Map(frame.items.map((item) => [item.itemId, item]));
      const item = items.get(itemId) ?? before;
      this.#served.set(member, item);
      if (!frame.last) continue;
      const found = item === undefined ? [] : [item];
      this.#put({ to: member, frame: { ...frame, items: found, first: true, last: true } });
    }
  }

  /** A snapshot for all makes an insertion needless, or its snapshot stale. */
  #reviewInsertion({ position }: SyncFrame): void {
    const insertion = this.#insertionUnderWay();
    if (insertion === undefined) return;
    if (this.#served.has(insertion.member)) insertion.end();
    else if (!insertion.covers(position)) insertion.restart();
  }

  #activate(member: M, timestamp: number): void {
    if (!this.#active.has(member)) this.#heard.add(member.itemId);
    this.#active.set(member, { timestamp, atMs: this.#options.now() });
  }

  /** Asks to be woken when the cursor reaches the insertion, if no frame tells of it. */
  #awaitCursor(subscription: Subscription, { position }: Insertion<M>): void {
    // When it is there already, a change of epoch is to come, which wakes the reader anyway.
    if (position !== undefined && subscription.cursor.revision < position.revision)
      subscription.onCursor(position.revision, () => this.#wake());
  }

  #letGo(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    this.#heldBack = undefined;
    this.#floor = ORIGIN;
    this.#out = [];
    subscription?.close();
  }

  #wake(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.wake();
  }
}
