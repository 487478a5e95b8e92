import type { GroupEvent, LiveEvent } from "../core/change.ts";
import { StreamError } from "../core/errors.ts";
import { FewMap } from "../core/few-map.ts";
import { Batch } from "./batch.ts";
import { type SyncFrame, frameBytes } from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { Head, Store } from "../core/store.ts";
import type { Unwatch } from "../core/watchers.ts";
import { GroupStates } from "./group-states.ts";
import type { Deliverer, DeliveryScheduler } from "./delivery-scheduler.ts";
import type { SnapshotPartCache } from "./snapshot-part-cache.ts";
import { Sequencer, type SequencerOutput } from "./sequencer.ts";

/** Pause after a failed comparison with the store, in milliseconds. */
const COMPARE_AGAIN_MS = 100;
/** Most events that wait for a round, and their bytes: beyond these they are delivered at once. */
const MAX_GATHERED = 500;
const MAX_GATHERED_BYTES = 256 * 1024;
/** How many followers receive a batch in one call of deliver(). */
const FOLLOWERS_AT_ONCE = 16;

/** Receives each event of a channel's group once, in order. Its methods must return at once. */
export interface Follower {
  /** How many of the channel's events it has received, or preceded it. Kept by the channel. */
  received: number;
  /** Whether it receives updates as deltas where they have one, now. */
  readonly takesDeltas: boolean;
  /**
   * Receives the next events, oldest first. All followers share the array: do not change or keep
   * it.
   */
  release(events: readonly LiveEvent[]): void;
  /** History was lost: only a fresh snapshot has the current state. */
  reset(): void;
}

/**
 * The live feed of one group in this process: one watch of the store for any number of followers.
 *
 * A writer's own process receives its change here too: a single path gives a single order. Events
 * are delivered to the followers in rounds, several at a time (see DeliveryScheduler).
 */
export class Channel implements Deliverer, SequencerOutput {
  readonly group: GroupKey;
  /** The states of the group, for new followers. */
  readonly states: GroupStates;
  readonly #followers = new FewMap<Follower, true>();
  readonly #store: Store;
  readonly #scheduler: DeliveryScheduler;
  readonly #mayDeliver: () => boolean;
  readonly #sequencer: Sequencer;
  #delivered: Position;
  /** The next batch. */
  #gathered = new Batch();
  #gatheredBytes = 0;
  #isDue = false;
  /** The batch being delivered, and the followers that are still to receive it. */
  #batch: Batch | undefined;
  #remaining: Iterator<Follower, undefined> | undefined;
  /** How many events preceded the batch, and the gathered ones. */
  #countBeforeBatch = 0;
  #countBeforeGathered = 0;
  #unwatch: Unwatch = () => {};
  #isClosed = false;
  #isComparing = false;
  #mustCompareAgain = false;

  private constructor(
    store: Store,
    group: GroupKey,
    start: Position,
    scheduler: DeliveryScheduler,
    sharing: (group: GroupKey) => SnapshotPartCache | undefined,
    mayDeliver: () => boolean,
  ) {
    this.group = group;
    this.#mayDeliver = mayDeliver;
    this.states = new GroupStates(store, group, sharing);
    this.#store = store;
    this.#scheduler = scheduler;
    this.#delivered = start;
    this.#sequencer = new Sequencer(group, store, start, this);
  }

  /**
   * Starts the feed. Resolves once every later commit will be received.
   *
   * @param sharing The snapshot parts that new followers share. @see GroupStates
   * @param mayDeliver @see HubOptions
   */
  static async open(
    store: Store,
    group: GroupKey,
    scheduler: DeliveryScheduler,
    sharing: (group: GroupKey) => SnapshotPartCache | undefined,
    mayDeliver: () => boolean,
  ): Promise<Channel> {
    let channel: Channel | undefined;
    const early: GroupEvent[] = [];
    let isInDoubt = false;
    const unwatch = await store.watch(
      group,
      (event) => {
        if (channel === undefined) early.push(event);
        else channel.#sequencer.offer(event);
      },
      () => {
        isInDoubt = true;
        channel?.compare();
      },
    );
    try {
      const head = (await store.heads([group]))[0] as Head;
      channel = new Channel(store, group, head.position, scheduler, sharing, mayDeliver);
      channel.#unwatch = unwatch;
      for (const event of early) channel.#sequencer.offer(event);
      if (isInDoubt) channel.compare();
      return channel;
    } catch (error) {
      unwatch();
      throw error;
    }
  }

  /** A new follower receives every event after this position. */
  get position(): Position {
    return this.#sequencer.position;
  }

  /** Everything up to here was delivered to the followers. */
  get delivered(): Position {
    return this.#delivered;
  }

  /** Adds a follower, which receives the events from now on. */
  follow(follower: Follower): void {
    follower.received = this.#count;
    this.#followers.set(follower, true);
  }

  /** Removes a follower. */
  unfollow(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /** Delivers the events that wait for a round to this follower now. */
  deliverPending(follower: Follower): void {
    if (this.#batch !== undefined) give(this.#batch, this.#countBeforeBatch, follower);
    give(this.#gathered, this.#countBeforeGathered, follower);
  }

  /**
   * To be called with what was read from the store for a follower, before it is handed on: it may be
   * later than the end of a subscription that this process has missed.
   *
   * @throws StreamError STORE_UNAVAILABLE while this process may not deliver.
   */
  checkFleet(): void {
    if (this.#mayDeliver()) return;
    throw new StreamError(
      "STORE_UNAVAILABLE",
      "The process is cut off from its fleet; subscribe again in a moment, and resume.",
    );
  }

  /** Compares with a head of the store. Resolves once every event up to it was delivered. */
  async confirm(head: Head, asked: Position): Promise<void> {
    await this.#sequencer.confirm(head, asked);
    this.#deliverAll();
  }

  /**
   * To be called with each state that was read for a follower: one without a history shows that
   * the events before it were lost.
   */
  noteState({ position, timestamp }: SyncFrame): void {
    if (position.epoch === "") this.#sequencer.noteEmpty(timestamp);
  }

  /** Compares with the store, and reads from the log what was missed. */
  compare(): void {
    this.#mustCompareAgain = true;
    if (!this.#isComparing) void this.#compareUntilKnown();
  }

  /** Stops the feed. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#unwatch();
  }

  /** @see Deliverer */
  deliver(): boolean {
    if (this.#batch === undefined) {
      this.#isDue = false;
      this.#beginBatch();
    }
    return this.#giveBatch(FOLLOWERS_AT_ONCE);
  }

  /** How many events were released. */
  get #count(): number {
    return this.#countBeforeGathered + this.#gathered.length;
  }

  /** @see SequencerOutput */
  release(event: GroupEvent): void {
    // All subscriptions are about to end: what they miss here, they resume from.
    if (!this.#mayDeliver()) return;
    this.#gathered.push(event);
    this.#gatheredBytes += frameBytes(event);
    if (this.#gathered.length >= MAX_GATHERED || this.#gatheredBytes >= MAX_GATHERED_BYTES)
      this.#deliverAll();
    else if (!this.#isDue) {
      this.#isDue = true;
      this.#scheduler.add(this);
    }
  }

  #deliverAll(): void {
    this.#giveBatch(Infinity);
    this.#beginBatch();
    this.#giveBatch(Infinity);
  }

  #beginBatch(): void {
    if (this.#gathered.length === 0) return;
    this.#batch = this.#gathered;
    this.#countBeforeBatch = this.#countBeforeGathered;
    this.#countBeforeGathered = this.#count;
    this.#gathered = new Batch();
    this.#gatheredBytes = 0;
    this.#remaining = this.#followers.keys()[Symbol.iterator]();
  }

  /** @returns Whether every follower has received it. */
  #giveBatch(mostFollowers: number): boolean {
    const batch = this.#batch;
    if (batch === undefined) return true;
    for (let count = 0; count < mostFollowers; count++) {
      const follower = this.#remaining?.next().value;
      if (follower === undefined) return this.#endBatch(batch);
      give(batch, this.#countBeforeBatch, follower);
      // The follower's code may have delivered everything, or reset the channel.
      if (this.#batch !== batch) return true;
    }
    return false;
  }

  #endBatch({ events }: Batch): true {
    this.#batch = this.#remaining = undefined;
    const last = events.findLast((event) => event.kind === "change");
    if (last !== undefined) this.#delivered = last.position;
    return true;
  }

  /** @see SequencerOutput */
  reset(): void {
    this.#countBeforeGathered = this.#count;
    this.#batch = undefined;
    this.#gathered = new Batch();
    this.#gatheredBytes = 0;
    this.#delivered = this.position;
    for (const follower of this.#followers.keys()) {
      follower.received = this.#count;
      follower.reset();
    }
  }

  async #compareUntilKnown(): Promise<void> {
    this.#isComparing = true;
    while (this.#mustCompareAgain && !this.#isClosed) {
      this.#mustCompareAgain = false;
      try {
        const asked = this.position;
        const [head] = await this.#store.heads([this.group]);
        await this.confirm(head as Head, asked);
      } catch {
        this.#mustCompareAgain = true;
        await new Promise((resolve) => setTimeout(resolve, COMPARE_AGAIN_MS));
      }
    }
    this.#isComparing = false;
  }
}

/**
 * Delivers the events that the follower has not received yet.
 *
 * @param countBefore How many events were released before these.
 */
function give(batch: Batch, countBefore: number, follower: Follower): void {
  const known = follower.received - countBefore;
  if (known >= batch.length) return;
  follower.received = countBefore + batch.length;
  const events = follower.takesDeltas ? batch.deltas : batch.events;
  follower.release(known <= 0 ? events : events.slice(known));
}
