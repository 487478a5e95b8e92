import { StreamError } from "../core/errors.ts";
import { type Frame, type SyncFrame, frameBytes } from "../core/frame.ts";
import type { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { ORIGIN, type Position } from "../core/position.ts";
import { interestIn } from "./interest.ts";
import type { StateReader } from "./state-reader.ts";
import type { Subscription } from "./subscription.ts";

/**
 * The snapshot of one who joins while others follow: it has a place between their frames.
 *
 *     reading --first part--> waiting --due--> sending --last part--> over
 *                ^               |
 *                '--- restart ---'
 *
 * While a part is being read, and until the last one was taken, nothing else may go out: it waits in
 * the bounded queue of the subscription (G7). One part is held, so a join costs no more than a slow
 * reader does, however large the snapshot.
 */
export class Insertion<M extends { readonly itemId: string | undefined }> {
  readonly member: M;
  /** Resolves when the first part was taken, or it was ended before; rejects when that was for an error. */
  readonly begun: Promise<void>;
  /** Resolves when it is over. */
  readonly over: Promise<void>;
  readonly #subscription: Subscription;
  readonly #onPart: () => void;
  #state: StateReader;
  #part: SyncFrame | undefined;
  readonly #memory: SnapshotMemory;
  /** The part that was read last, which counts until the next is read. */
  #unread: SyncFrame | undefined;
  /** Where the feed stood when the snapshot was asked for. */
  #asked: Position = ORIGIN;
  #isBegun = false;
  #isOver = false;
  #settle: (error?: StreamError) => void = () => {};
  #conclude = () => {};

  /**
   * Begins to read.
   *
   * @param member Whose snapshot it is.
   * @param onPart Called when a part was read, and when it was ended by a failed read.
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

  /** Whether the last part was taken, or it was ended. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Position of the snapshot; undefined while a part is being read. */
  get position(): Position | undefined {
    return this.#part?.position;
  }

  /** Whether all up to its position went out, and `next`, which is the next to go, lies beyond. */
  isDue(next: Frame | undefined): boolean {
    if (this.#part === undefined) return false;
    const { position, timestamp } = this.#part;
    switch (next?.kind) {
      case undefined:
        return this.#isReached(this.#subscription.cursor, position);
      case "change":
      case "heartbeat":
        return (
          this.#isReached(next.position, position) && next.position.revision > position.revision
        );
      case "event":
        return this.#isReached(next.after, position) && next.timestamp > timestamp;
      case "sync":
      case "resumed":
        return false;
    }
  }

  /** Whether what comes after this position comes after the snapshot, too. */
  covers(position: Position): boolean {
    const at = this.#part?.position;
    return at?.epoch === position.epoch && at.revision >= position.revision;
  }

  /** Takes the part that was read, and reads the next. */
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

  /** Reads the snapshot anew, before a part of it was taken. */
  restart(): void {
    this.#state.close();
    this.#part = undefined;
    this.#hold(undefined);
    this.#state = this.#open();
    void this.#read();
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

  /** Whether a place in the feed is the snapshot's or comes after it. */
  #isReached(at: Position, position: Position): boolean {
    // A group that is at the origin, and was not before, was forgotten: a snapshot for all is to come.
    const sameHistory =
      at.epoch === position.epoch || (position.epoch === "" && this.#asked.epoch === "");
    return sameHistory && at.revision >= position.revision;
  }

  #hold(part: SyncFrame | undefined): void {
    if (this.#unread !== undefined) this.#memory.release(this.#unread);
    this.#unread = part;
    if (part !== undefined) this.#memory.hold(part, frameBytes);
  }

  #open(): StateReader {
    return this.#subscription.readState(interestIn(this.member.itemId));
  }

  async #read(): Promise<void> {
    const state = this.#state;
    const { channel } = this.#subscription;
    const asked = channel.position;
    if (!this.#isBegun) this.#asked = asked;
    const isCurrent = () => this.#state === state && !this.#isOver;
    try {
      const part = await state.next();
      if (!isCurrent()) return;
      this.#hold(part);
      if (!this.#isBegun) this.#memory.check();
      this.#part = part;
      // This is the store's word on where the group stands. When the feed lost what lies between, it is
      // read from the log now; should that fail, the next event or heartbeat finds the gap.
      if (part.first) channel.confirm(part, asked).catch(() => {});
    } catch (error) {
      if (!isCurrent()) return;
      const failure = StreamError.from(error);
      this.end(failure);
      // A snapshot of which parts went out cannot be taken back.
      if (this.#isBegun) this.#subscription.fail(failure);
    }
    this.#onPart();
  }
}
