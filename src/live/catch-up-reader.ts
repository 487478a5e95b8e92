import { type LoggedChange, withDelta } from "../core/change.ts";
import { type SyncFrame, frameBytes } from "../core/frame.ts";
import type { Position } from "../core/position.ts";
import type { Replay, Store } from "../core/store.ts";
import type { Channel } from "./channel.ts";
import type { Interest } from "./interest.ts";
import { PART_LIMITS } from "./state-part.ts";
import type { StateReader } from "./state-reader.ts";
import type { SubscriptionOptions, UnreadParts } from "./subscription-options.ts";

/** One part of a snapshot or of the log. */
export type Part =
  | { readonly kind: "sync"; readonly frame: SyncFrame }
  | { readonly kind: "log"; readonly changes: readonly LoggedChange[]; readonly head: Position };

/** What a subscription reads from, and for. */
export type CatchUpOptions = Pick<SubscriptionOptions, "store" | "channel" | "interest" | "unread">;

/**
 * Reads for a subscription that is loading: a snapshot part by part and then the log, or the log
 * alone. When the log no longer reaches back far enough, a snapshot replaces it.
 */
export class CatchUpReader {
  readonly #store: Store;
  readonly #channel: Channel;
  readonly #interest: Interest;
  readonly #unreadParts: UnreadParts;
  /** The part of a snapshot that the subscriber has not read, or that its transport still holds. */
  #unread: SyncFrame | undefined;
  #source: "snapshot" | "log" = "snapshot";
  /** The snapshot being read. */
  #state: StateReader | undefined;
  /** Grows with each start(), which makes reads under way outdated. */
  #generation = 0;

  constructor({ store, channel, interest, unread }: CatchUpOptions) {
    this.#unreadParts = unread;
    this.#store = store;
    this.#channel = channel;
    this.#interest = interest;
  }

  /** The source of the next part, unless the log no longer reaches back far enough. */
  get source(): "snapshot" | "log" {
    return this.#source;
  }

  /** Starts over and discards the read under way. */
  start(source: "snapshot" | "log"): void {
    this.#generation++;
    this.release();
    this.#closeState();
    this.#source = source;
  }

  /**
   * To be called when the subscriber has read all parts: it reads on once its transport took them.
   */
  release(): void {
    if (this.#unread === undefined) return;
    this.#unreadParts.release(this.#unread);
    this.#unread = undefined;
  }

  /** Reads the log after a position, to resume from it; undefined when start() was called meanwhile. */
  async resume(from: Position): Promise<Replay<LoggedChange> | undefined> {
    const generation = this.#generation;
    const replay = await this.#readLog(from);
    return generation === this.#generation ? replay : undefined;
  }

  /**
   * Reads the next part; undefined when start() was called meanwhile.
   *
   * @param cursor The position after which the log is read.
   * @throws StreamError when the store cannot be read.
   */
  async next(cursor: Position): Promise<Part | undefined> {
    const generation = this.#generation;
    const isWanted = () => generation === this.#generation;
    if (this.#source === "log") {
      const replay = await this.#readLog(cursor);
      if (!isWanted()) return undefined;
      if (!replay.lost) return { kind: "log", changes: replay.changes, head: replay.head };
      this.#source = "snapshot";
    }
    const state = (this.#state ??= this.#interest.readState(this.#channel.states));
    let frame: SyncFrame;
    try {
      frame = await state.next();
    } catch (error) {
      // start() closed the snapshot during the read.
      if (!isWanted()) return undefined;
      throw error;
    }
    this.#channel.checkFleet();
    // May reset this subscription.
    this.#channel.noteState(frame);
    if (!isWanted()) return undefined;
    if (frame.last) {
      this.#closeState();
      this.#source = "log";
    }
    this.release();
    this.#unread = frame;
    this.#unreadParts.hold(frame, frameBytes);
    return { kind: "sync", frame };
  }

  /** Reads the log, with deltas if the interest takes them. */
  async #readLog(from: Position): Promise<Replay<LoggedChange>> {
    const { group } = this.#channel;
    const store = this.#store;
    const { deltas } = this.#interest;
    const replay = await (deltas && store.deltasSince !== undefined
      ? store.deltasSince(group, from, PART_LIMITS)
      : store.since(group, from, PART_LIMITS));
    this.#channel.checkFleet();
    if (!deltas || replay.lost) return replay;
    return { ...replay, changes: replay.changes.map(withDelta) };
  }

  #closeState(): void {
    this.#state?.close();
    this.#state = undefined;
  }
}
