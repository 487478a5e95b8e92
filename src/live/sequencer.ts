import type { ChangeEvent, GroupEvent, TransientEvent } from "../core/change.ts";
import { StreamError } from "../core/errors.ts";
import type { GroupKey } from "../core/names.ts";
import { ORIGIN, type Position, isAfter, isNext } from "../core/position.ts";
import type { Head, ReadLimits, Replay } from "../core/store.ts";

/** The part of the store that the sequencer reads. */
export interface LogReader {
  since(group: GroupKey, from: Position, limits: ReadLimits): Promise<Replay>;
}

/** Receives the sequencer's events. Its methods are called synchronously and in order. */
export interface SequencerOutput {
  /**
   * Receives the next event: a change follows its predecessor without a gap, a transient event
   * follows the change that it was sent after.
   */
  release(event: GroupEvent): void;
  /** History was lost: the next event does not follow from the previous ones. */
  reset(): void;
}

/** Size of one catch-up read of the log. */
const CATCH_UP: ReadLimits = { maxCount: 500, maxBytes: 1024 * 1024 };
/** Most events held back while the log is read; beyond it their changes are read from the log. */
const MAX_HELD = 1000;

/**
 * Releases the events of one group in revision order, each once (G2, G3).
 *
 * A store's feed may repeat, skip or delay events; the log is the source of truth. On a gap the
 * sequencer reads the log, and then releases the events that arrived meanwhile. When the log does
 * not bridge the gap, it calls `reset` and continues from the store's head.
 *
 *     in order --gap, or head ahead--> reading --caught up--> in order
 *                                         '-- lost --> reset --> in order
 */
export class Sequencer {
  readonly #group: GroupKey;
  readonly #log: LogReader;
  readonly #output: SequencerOutput;
  #position: Position;
  /** Timestamp of the last change released; 0 before the first. */
  #timestamp = 0;
  /** The group had no history at this time of its clock; 0: not known. @see noteEmpty */
  #emptyAt = 0;
  #reading = false;
  #held: GroupEvent[] = [];

  /** @param start The group's position: everything up to here counts as released. */
  constructor(group: GroupKey, log: LogReader, start: Position, output: SequencerOutput) {
    this.#group = group;
    this.#log = log;
    this.#position = start;
    this.#output = output;
  }

  /** Everything up to here was released. */
  get position(): Position {
    return this.#position;
  }

  /** Receives an event of the store's feed. */
  offer(event: GroupEvent): void {
    if (this.#reading) this.#hold(event);
    else if (event.kind === "event") this.#offerEvent(event);
    else this.#offerChange(event);
  }

  /**
   * Compares with a head of the store, whose read began when the sequencer's position was `asked`.
   * Resolves once everything up to that head was released.
   *
   * @throws StreamError when the store cannot be read; the position then stays unchanged.
   */
  async confirm(head: Head, asked: Position): Promise<void> {
    const { epoch, revision } = head.position;
    if (epoch === this.#position.epoch && revision <= this.#position.revision) {
      // A head below what the store had announced before the read means that it lost changes.
      if (asked.epoch === epoch && revision < asked.revision) this.#reset(head.position);
      return;
    }
    if (this.#reading)
      throw new StreamError("STORE_UNAVAILABLE", "The group's log is still being read.");
    await this.#catchUp();
  }

  /**
   * The group had no history when its state was read, at this time of its clock. A change that is
   * not later was lost before: whatever was released is reset, whatever is still to come is dropped.
   */
  noteEmpty(timestamp: number): void {
    this.#emptyAt = Math.max(this.#emptyAt, timestamp);
    if (this.#position.epoch !== "" && this.#timestamp <= timestamp) this.#reset(ORIGIN);
  }

  #offerChange(change: ChangeEvent): void {
    if (this.#position.epoch === "" && change.timestamp <= this.#emptyAt) return;
    if (isNext(change.position, this.#position)) this.#release(change);
    else if (isAfter(change.position, this.#position)) this.#recover(change);
  }

  #offerEvent(event: TransientEvent): void {
    const { epoch, revision } = event.after;
    const behind =
      epoch === this.#position.epoch ? revision <= this.#position.revision : epoch === "";
    if (behind) this.#output.release(event);
    else this.#recover(event);
  }

  #release(change: ChangeEvent): void {
    this.#position = change.position;
    this.#timestamp = change.timestamp;
    this.#output.release(change);
  }

  #hold(event: GroupEvent): void {
    this.#held.push(event);
    // Dropping all of them is sound: changes are in the log, and the gap is seen at the next event
    // or heartbeat; transient events are at most once.
    if (this.#held.length > MAX_HELD) this.#held = [];
  }

  #recover(event: GroupEvent): void {
    this.#hold(event);
    // A failed read leaves the gap open; the next event or heartbeat tries again.
    this.#catchUp().catch(() => {});
  }

  async #catchUp(): Promise<void> {
    const start = this.#position;
    this.#reading = true;
    try {
      await this.#readLog();
    } finally {
      this.#reading = false;
      const held = this.#held;
      this.#held = [];
      // A read without progress would find nothing again: events that still do not follow are
      // dropped, and the next event or heartbeat finds the gap.
      const progressed = this.#position !== start;
      for (const event of held) if (progressed || this.#follows(event)) this.offer(event);
    }
  }

  async #readLog(): Promise<void> {
    for (;;) {
      const emptyAt = this.#emptyAt;
      const from = this.#position;
      const replay = await this.#log.since(this.#group, from, CATCH_UP);
      // Was it read before the state without a history, or after it? A new read answers that.
      if (this.#emptyAt !== emptyAt || this.#position !== from) continue;
      if (replay.lost) return this.#reset(replay.head);
      // The store has a history again.
      if (replay.changes.length > 0) this.#emptyAt = 0;
      for (const change of replay.changes) this.#release(change);
      if (replay.changes.length === 0 || this.#position.revision >= replay.head.revision) return;
    }
  }

  #follows(event: GroupEvent): boolean {
    const { epoch, revision } = event.kind === "change" ? event.position : event.after;
    const next = event.kind === "change" ? this.#position.revision + 1 : this.#position.revision;
    return epoch === this.#position.epoch && revision <= next;
  }

  #reset(head: Position): void {
    this.#position = head;
    this.#timestamp = 0;
    if (head.epoch !== "") this.#emptyAt = 0;
    this.#output.reset();
  }
}
