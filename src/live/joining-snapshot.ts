import { StreamError } from "../core/errors.ts";
import type { LiveEvent } from "../core/change.ts";
import { type Frame, type HeartbeatFrame, type SyncFrame, frameBytes } from "../core/frame.ts";
import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { ORIGIN, type Position } from "../core/position.ts";
import { interestIn } from "./interest.ts";
import type { Followed } from "./served-members.ts";
import type { StateReader } from "./state-reader.ts";
import type { Subscription } from "./subscription.ts";

/**
 * The snapshot of a member that joins while others follow, inserted between their frames.
 *
 *     reading --first part--> waiting --due--> sending --last part--> over
 *                ^               |
 *                '--- restart ---'
 *
 * While a part is being read, and until the last one was taken, other frames wait in the bounded
 * queue of the subscription (G7). One part is held at a time, so a join costs no more than a slow
 * reader, however large the snapshot.
 */
export class JoiningSnapshot<M extends Followed> {
  readonly member: M;
  /**
   * Resolves when the first part was taken, or it ended before that; rejects when an error ended
   * it.
   */
  readonly begun: Promise<void>;
  /** Resolves when it is over. */
  readonly over: Promise<void>;
  readonly #subscription: Subscription;
  readonly #onPart: () => void;
  #state: StateReader;
  #part: SyncFrame | undefined;
  readonly #memory: SnapshotMemory;
  /** The last part read; it counts in the memory until the next one is read. */
  #unread: SyncFrame | undefined;
  /** Position of the feed when the snapshot was requested, or when the feed began anew. */
  #asked: Position = ORIGIN;
  #isBegun = false;
  #isOver = false;
  #settle: (error?: StreamError) => void = () => {};
  #conclude = () => {};

  /**
   * Starts reading.
   *
   * @param member The member that joins.
   * @param onPart Called when a part was read, and when a failed read ended it.
   */
  constructor(member: M, subscription: Subscription, memory: SnapshotMemory, onPart: () => void) {
    this.member = member;
    this.#memory = memory;
    this.#subscription = subscription;
    this.#onPart = onPart;
    this.begun = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.over = new Promise((resolve) => (this.#conclude = resolve));
    this.#state = this.#open();
    void this.#read();
  }

  /** Whether a part is being read. */
  get isReading(): boolean {
    return this.#part === undefined && !this.#isOver;
  }

  /** Whether a part was taken. */
  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** Whether the last part was taken, or it ended before that. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Position of the snapshot; undefined while a part is being read. */
  get position(): Position | undefined {
    return this.#part?.position;
  }

  /**
   * Reads a new one when the store lost its history before the feed entered it: the feed would
   * never reach its position. Allowed until a part was taken.
   *
   * @param next The next frame of the feed.
   */
  restartIfLost(next: Frame | undefined): void {
    if (this.#part === undefined || next?.kind === "sync" || next?.kind === "resumed") return;
    const { epoch } = this.#part.position;
    const at = this.#feedAt(next).epoch;
    if (epoch === "" || epoch === at) return;
    // While the feed is where it was when the snapshot was requested, it may still enter.
    if (next?.kind === "heartbeat" || (at !== "" && at !== this.#asked.epoch)) this.#restart();
  }

  /** Whether every frame up to its position was sent, and the next frame to send lies beyond. */
  isDue(next: Frame | undefined): boolean {
    if (this.#part === undefined || next?.kind === "sync" || next?.kind === "resumed") return false;
    const { position, timestamp } = this.#part;
    const at = this.#feedAt(next);
    if (!this.#isReached(at, position)) return false;
    if (next === undefined) return true;
    return next.kind === "event" ? next.timestamp > timestamp : at.revision > position.revision;
  }

  /**
   * A snapshot for all members begins the feed anew at this position. Reads a new one, unless its
   * own is at or after the position. Allowed until a part was taken.
   */
  followAnew(position: Position): void {
    const at = this.#part?.position;
    if (at?.epoch === position.epoch && at.revision >= position.revision) this.#asked = position;
    else this.#restart();
  }

  /** Takes the part that was read, and starts reading the next. */
  take(): SyncFrame {
    const part = this.#part;
    if (part === undefined) throw new Error("The part is still being read.");
    this.#part = undefined;
    this.#isBegun = true;
    this.#settle();
    if (part.last) this.end();
    else void this.#read();
    return part;
  }

  /** Ends it. Idempotent. */
  end(error?: StreamError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#part = undefined;
    this.#hold(undefined);
    this.#state.close();
    this.#settle(error);
    this.#conclude();
  }

  /** Whether a position in the feed is at or after the snapshot's. */
  #isReached(at: Position, position: Position): boolean {
    // A group that returned to the origin was forgotten: a snapshot for all members will follow.
    const sameHistory =
      at.epoch === position.epoch || (position.epoch === "" && this.#asked.epoch === "");
    return sameHistory && at.revision >= position.revision;
  }

  /** Position of the feed at its next frame, or at its end. */
  #feedAt(next: LiveEvent | HeartbeatFrame | undefined): Position {
    if (next === undefined) return this.#subscription.cursor;
    return next.kind === "event" ? next.after : next.position;
  }

  #restart(): void {
    this.#state.close();
    this.#part = undefined;
    this.#hold(undefined);
    this.#state = this.#open();
    void this.#read();
  }

  #hold(part: SyncFrame | undefined): void {
    if (this.#unread !== undefined) this.#memory.release(this.#unread);
    this.#unread = part;
    if (part !== undefined) this.#memory.hold(part, frameBytes);
  }

  #open(): StateReader {
    const { itemId, window } = this.member;
    return interestIn(itemId, { window }).readState(this.#subscription.channel.states);
  }

  async #read(): Promise<void> {
    const state = this.#state;
    const { channel } = this.#subscription;
    const asked = channel.position;
    if (!this.#isBegun) this.#asked = asked;
    const isCurrent = () => this.#state === state && !this.#isOver;
    try {
      const part = await state.next();
      channel.checkFleet();
      // May reset the subscription, which ends or restarts this.
      channel.noteState(part);
      if (!isCurrent()) return;
      this.#hold(part);
      if (!this.#isBegun) this.#memory.check();
      this.#part = part;
      // The part has the store's head. If the feed missed events up to it, they are read from the
      // log now; should that fail, the next event or heartbeat finds the gap.
      if (part.first) channel.confirm(part, asked).catch(() => {});
    } catch (error) {
      if (!isCurrent()) return;
      const failure = StreamError.from(error);
      this.end(failure);
      // A snapshot that was sent in part cannot be withdrawn.
      if (this.#isBegun) this.#subscription.fail(failure);
    }
    this.#onPart();
  }
}
