import type { LiveEvent, LoggedChange } from "../core/change.ts";
import { StreamError } from "../core/errors.ts";
import { FewMap } from "../core/few-map.ts";
import type { Frame, HeartbeatFrame, ResumedFrame, SyncFrame } from "../core/frame.ts";
import { ORIGIN, type Position } from "../core/position.ts";
import { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { FollowerCounts } from "./follower-counts.ts";
import type { GroupStates } from "./group-states.ts";
import { JoiningSnapshot } from "./joining-snapshot.ts";
import { type Followed, ServedMembers } from "./served-members.ts";
import type { Interest } from "./interest.ts";
import type { StateReader } from "./state-reader.ts";
import type { Reader } from "./frame-iterator.ts";
import type { Subscription } from "./subscription.ts";

/** A member of a shared subscription, identified by the object itself. */
export interface Member extends Followed {
  /** Whether it takes updates as deltas. All members get them whole while one of them does not. */
  readonly deltas: boolean;
}

/** A frame to send: to one member, or once for every member that follows the event's item. */
export type SharedFrame<M extends Member> =
  | { readonly to: M; readonly frame: SyncFrame | ResumedFrame | HeartbeatFrame }
  | { readonly to: undefined; readonly frame: LiveEvent };

/** Dependencies of a shared subscription. */
export interface SharedSubscriptionOptions {
  /** Opens the subscription of the group. */
  readonly subscribe: (
    interest: Interest,
    resumeFrom: Position | undefined,
  ) => Promise<Subscription>;
  /**
   * Memory of the snapshot parts that subscribers have not read. Default: one with the default
   * limit.
   */
  readonly memory?: SnapshotMemory | undefined;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** How far an active member, one that received its snapshot or was resumed, is. */
interface Bookmark {
  /** Its snapshot contains the events up to here. */
  readonly timestamp: number;
  /** When it received its last sync, resumed or heartbeat, Unix milliseconds. */
  readonly atMs: number;
}

/**
 * One subscription to a group, shared by several members with one cursor, for a socket whose
 * subscriptions overlap. Each event is read once, however many members follow it, and the group's
 * events keep their order over all members.
 *
 * The first member opens the subscription. A later one gets a snapshot of its own at a position P:
 * first the frames up to P are sent to the others, then the snapshot, then the frames after P to
 * all. So its snapshot is at or after everything that was sent before. One member joins at a time.
 *
 * Updates come as deltas only while all members take them. One that does not makes the subscription
 * whole before its snapshot is requested: the deltas that are queued by then are at or before the
 * snapshot's position, so they go to the others before it, and everything after it is whole.
 *
 * When history is lost, or the log no longer reaches back, a snapshot for all opens a new segment.
 */
export class SharedSubscription<M extends Member> implements Interest, Reader {
  /** Memory of the snapshot parts that subscribers have not read. */
  readonly memory: SnapshotMemory;
  readonly #options: SharedSubscriptionOptions;
  #subscription: Subscription | undefined;
  /** Members that wait for their turn to join. */
  readonly #queued = new FewMap<M, true>();
  readonly #members = new FewMap<M, true>();
  /** How many members do not take deltas. */
  #wholeCount = 0;
  /** The items, or the group, that the members follow. */
  readonly #wanted = new FollowerCounts();
  /** Members that received their snapshot, or were resumed. */
  readonly #active = new FewMap<M, Bookmark>();
  /** The items, or the group, that the active members follow. */
  readonly #activeWanted = new FollowerCounts();
  /** Members that the current segment's opening frame serves. */
  readonly #served = new ServedMembers<M>();
  /** Whether a snapshot for all members, or a part of it, is still to come. */
  #inSync = false;
  /** The snapshot of the member that is joining. */
  #joining: JoiningSnapshot<M> | undefined;
  /** Everything that members want up to here was sent; a replay from before does not repeat it. */
  #floor: Position = ORIGIN;
  /** A frame that was read but has to wait for the joining snapshot. */
  #heldBack: Frame | undefined;
  #out: SharedFrame<M>[] = [];
  #lastJoin: Promise<unknown> = Promise.resolve();
  #reader: Reader | undefined;
  #onEnd: ((error: StreamError) => void) | undefined;
  /** The subscription that will wake this when it is readable. */
  #listeningTo: Subscription | undefined;
  #closed = false;

  constructor(options: SharedSubscriptionOptions) {
    this.#options = options;
    this.memory = options.memory ?? new SnapshotMemory();
  }

  /** Everything up to here can be read, or was taken; undefined before the first frame. */
  get cursor(): Position | undefined {
    return this.#subscription?.cursor;
  }

  /** Why the service ended it; undefined while it is open. */
  get error(): StreamError | undefined {
    return this.#subscription?.error;
  }

  /**
   * Adds a member. Resolves when its first frame can be read, or it left before. Joins wait for one
   * another, and all but the first proceed only while frames are read.
   *
   * @param resumeFrom Honoured only for the first member; a later one gets a snapshot instead.
   * @throws StreamError when the state cannot be read, or the subscription ended.
   */
  join(member: M, resumeFrom?: Position): Promise<void> {
    this.#queued.set(member, true);
    const join = this.#lastJoin.then(() => this.#join(member, resumeFrom));
    this.#lastJoin = join.then(() => this.#joining?.over).catch(() => {});
    return join;
  }

  /** Removes a member. The last one ends the subscription; a later join opens a new one. */
  leave(member: M): void {
    if (this.#queued.delete(member) || !this.#members.delete(member)) return;
    this.#wanted.remove(member.itemId);
    if (!member.deltas) this.#wholeCount--;
    if (this.#active.delete(member)) this.#activeWanted.remove(member.itemId);
    this.#served.delete(member);
    this.#out = this.#out.filter(({ to }) => to !== member);
    if (this.#joining?.member === member) {
      this.#joining.end();
      this.#wake();
    }
    if (this.#members.size === 0) this.#release();
  }

  /** Takes the next frame; undefined when there is none now. */
  read(): SharedFrame<M> | undefined {
    for (;;) {
      if (this.#out.length > 0) return this.#out.shift();
      const joining = this.#joiningUnderWay();
      if (joining?.isReading === true) return undefined;
      if (joining?.isBegun === true) {
        this.#insert(joining);
        continue;
      }
      const frame = this.#heldBack ?? this.#subscription?.read();
      this.#heldBack = undefined;
      joining?.restartIfLost(frame);
      if (joining !== undefined && !this.#inSync && joining.isDue(frame)) {
        this.#heldBack = frame;
        this.#insert(joining);
      } else if (frame === undefined) return undefined;
      else if (frame.kind === "change" || frame.kind === "delta" || frame.kind === "event") {
        if (this.#concerns(frame)) return { to: undefined, frame };
      } else this.#distribute(frame);
    }
  }

  /**
   * Wakes the reader once, when read() may return a frame again, or it ends. To be called after
   * read() returned undefined. A later call replaces an earlier one.
   */
  onReadable(reader: Reader): void {
    this.#reader = reader;
    const subscription = this.#subscription;
    const joining = this.#joiningUnderWay();
    // A joining snapshot wakes the reader when it has read a part.
    if (subscription === undefined || subscription.ended || joining?.isReading === true) return;
    if (joining !== undefined) this.#awaitCursor(subscription, joining);
    if (this.#listeningTo === subscription) return;
    this.#listeningTo = subscription;
    subscription.onReadable(this);
  }

  /**
   * The subscription is readable. A released one may call this, too: the reader then finds no
   * frame.
   *
   * @see Reader
   */
  wake(): void {
    this.#listeningTo = undefined;
    this.#wake();
  }

  /** Calls back with the reason when the service ends it. */
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
  get deltas(): boolean {
    return this.#wholeCount === 0;
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
    this.#served.restart(this.#members.keys());
    if (this.#wanted.wantsAll) return states.readGroup(this.#served.window());
    return states.readItems(this.#wanted.itemIds);
  }

  /** @see Interest */
  quietSinceMs(): number {
    let oldestMs = Infinity;
    for (const [{ itemId }, { atMs }] of this.#active)
      oldestMs = Math.min(oldestMs, Math.max(atMs, this.#activeWanted.lastSentAtMs(itemId)));
    return oldestMs;
  }

  async #join(member: M, resumeFrom: Position | undefined): Promise<void> {
    if (this.#closed) throw new StreamError("SHUTTING_DOWN", "The connection is closing.");
    if (!this.#queued.delete(member)) return;
    if (this.error !== undefined) throw this.error;
    this.#members.set(member, true);
    this.#wanted.add(member.itemId);
    if (!member.deltas) this.#wholeCount++;
    try {
      if (this.#subscription === undefined) await this.#open(member, resumeFrom);
      else await this.#joinBeside(this.#subscription, member);
    } catch (error) {
      this.leave(member);
      throw error;
    }
  }

  async #open(member: M, resumeFrom: Position | undefined): Promise<void> {
    this.#served.restart([member]);
    this.#inSync = false;
    const subscription = await this.#options.subscribe(this, resumeFrom);
    // The member left meanwhile, and no other can have joined.
    if (!this.#members.has(member)) return subscription.close();
    this.#subscription = subscription;
    subscription.onEnd(() => {
      if (this.#subscription !== subscription) return;
      this.#joining?.end(subscription.error);
      if (subscription.error !== undefined) this.#onEnd?.(subscription.error);
    });
    this.#wake();
  }

  #joinBeside(subscription: Subscription, member: M): Promise<void> {
    this.memory.check();
    this.#joining = new JoiningSnapshot(member, subscription, this.memory, () => this.#wake());
    return this.#joining.begun;
  }

  #joiningUnderWay(): JoiningSnapshot<M> | undefined {
    if (this.#joining?.isOver === true) this.#joining = undefined;
    return this.#joining;
  }

  #insert(joining: JoiningSnapshot<M>): void {
    const { member } = joining;
    const frame = joining.take();
    // A later replay may contain changes that only the new member follows and its snapshot has.
    this.#floor = frame.position;
    this.#activate(member, frame.timestamp);
    this.#put({ to: member, frame });
  }

  /** Queues a frame that is sent to each member separately. */
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

  /** Whether an active member follows the event's item and has not received the event. */
  #concerns(event: LiveEvent): boolean {
    const { itemId, timestamp } = event;
    if (event.kind !== "event") {
      if (!this.#activeWanted.wants(itemId) || this.#isBelowFloor(event)) return false;
      this.#activeWanted.noteSent(event.itemId, this.#options.now());
      return true;
    }
    for (const [member, known] of this.#active) {
      const follows = member.itemId === undefined || member.itemId === itemId;
      if (follows && timestamp > known.timestamp) return true;
    }
    return false;
  }

  #isBelowFloor({ position }: LoggedChange): boolean {
    return position.epoch === this.#floor.epoch && position.revision <= this.#floor.revision;
  }

  #put(frame: SharedFrame<M>): void {
    // A literal has no spare capacity; mostly there is one frame.
    if (this.#out.length === 0) this.#out = [frame];
    else this.#out.push(frame);
  }

  /** Splits a snapshot for all members: each gets the part that it follows. */
  #distributeSync(frame: SyncFrame): void {
    this.#inSync = !frame.last;
    if (frame.first) this.#reviewInsertion(frame);
    this.#served.split(frame, (to, part) => {
      this.#activate(to, frame.timestamp);
      if (part !== undefined) this.#put({ to, frame: part });
    });
  }

  /** Ends or restarts a joining snapshot that one for all members makes needless or stale. */
  #reviewInsertion({ position }: SyncFrame): void {
    const joining = this.#joiningUnderWay();
    if (joining === undefined) return;
    if (this.#served.has(joining.member)) joining.end();
    else joining.followAnew(position);
  }

  #activate(member: M, timestamp: number): void {
    if (!this.#active.has(member)) this.#activeWanted.add(member.itemId);
    this.#active.set(member, { timestamp, atMs: this.#options.now() });
  }

  /** Wakes the reader when the cursor reaches the joining snapshot, even if no frame is read then. */
  #awaitCursor(subscription: Subscription, { position }: JoiningSnapshot<M>): void {
    // If it is beyond already, a change of epoch follows, which wakes the reader anyway.
    if (position !== undefined && subscription.cursor.revision < position.revision)
      subscription.onCursor(position.revision, () => this.#wake());
  }

  #release(): void {
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
