import type { GroupEvent } from "../core/change.ts";
import type { GroupKey } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { Head, Store, Unwatch } from "../core/store.ts";
import { Sequencer } from "./sequencer.ts";

/** Pause after a comparison with the store that failed, in milliseconds. */
const COMPARE_AGAIN_MS = 100;

/** Who follows a channel: hears each event of the group once, in order. Must return at once. */
export interface Follower {
  release(event: GroupEvent): void;
  /** History was lost: only a fresh snapshot tells the state now. */
  reset(): void;
}

/**
 * The live feed of one group in this process: one watch of the store, however many follow.
 *
 * A writer's own process hears of its change here like everybody else: one road, so one order.
 */
export class Channel {
  readonly group: GroupKey;
  readonly followers = new Set<Follower>();
  readonly #store: Store;
  readonly #sequencer: Sequencer;
  readonly #unwatch: Unwatch;
  #isClosed = false;
  #isComparing = false;
  #mustCompareAgain = false;

  private constructor(store: Store, group: GroupKey, sequencer: Sequencer, unwatch: Unwatch) {
    this.group = group;
    this.#store = store;
    this.#sequencer = sequencer;
    this.#unwatch = unwatch;
  }

  /** Starts the feed. Resolves once every later commit will be heard. */
  static async open(store: Store, group: GroupKey): Promise<Channel> {
    let channel: Channel | undefined;
    const early: GroupEvent[] = [];
    let sequencer: Sequencer | undefined;
    let isInDoubt = false;
    const unwatch = await store.watch(
      group,
      (event) => {
        if (sequencer === undefined) early.push(event);
        else sequencer.offer(event);
      },
      () => {
        isInDoubt = true;
        channel?.compare();
      },
    );
    try {
      const head = (await store.heads([group]))[0] as Head;
      sequencer = new Sequencer(group, store, head.position, {
        release: (event) => channel?.followers.forEach((follower) => follower.release(event)),
        reset: () => channel?.followers.forEach((follower) => follower.reset()),
      });
      channel = new Channel(store, group, sequencer, unwatch);
      for (const event of early) sequencer.offer(event);
      if (isInDoubt) channel.compare();
      return channel;
    } catch (error) {
      unwatch();
      throw error;
    }
  }

  /** Everything up to here was given to the followers. */
  get position(): Position {
    return this.#sequencer.position;
  }

  /** Takes the store's word on where the group stands. Resolves once followers have heard all up to it. */
  confirm(head: Head, asked: Position): Promise<void> {
    return this.#sequencer.confirm(head, asked);
  }

  /** Compares with the store, and goes on from the log when something was missed. */
  compare(): void {
    this.#mustCompareAgain = true;
    if (!this.#isComparing) void this.#compareUntilKnown();
  }

  /** Stops the feed. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#unwatch();
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
