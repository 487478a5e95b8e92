import type { LiveEvent } from "../core/change.ts";
import type { Position } from "../core/position.ts";
import { FrameQueue, type SubscriberQueueLimits } from "./frame-queue.ts";

/**
 * The last events that a channel released: a contiguous suffix, within half of a queue's limits.
 * The oldest slide out.
 */
export class SlidingWindow {
  readonly #limits: SubscriberQueueLimits;
  #events: FrameQueue<LiveEvent> | undefined;
  #start: Position;

  /** @param start It will hold the events released after this position. */
  constructor(limits: SubscriberQueueLimits, start: Position) {
    this.#limits = limits;
    this.#start = start;
  }

  /** It holds the events released after this position. */
  get start(): Position {
    return this.#start;
  }

  /** Drops its events, and starts over from a position. */
  restart(start: Position): void {
    this.#events = undefined;
    this.#start = start;
  }

  /** Keeps an event, and drops the oldest ones beyond the limits. */
  slide(event: LiveEvent): void {
    const events = (this.#events ??= this.#create());
    while (!events.offer(event)) {
      const oldest = events.shift() as LiveEvent;
      if (oldest.kind !== "event") this.#start = oldest.position;
    }
  }

  /** Takes all events, oldest first. */
  drain(): LiveEvent[] {
    const events = this.#events?.drain() ?? [];
    this.#events = undefined;
    return events;
  }

  /** Puts back the newest of the events that drain() returned. */
  putBack(events: readonly LiveEvent[]): void {
    if (events.length === 0) return;
    this.#events = this.#create();
    for (const event of events) this.#events.push(event);
  }

  #create(): FrameQueue<LiveEvent> {
    const { maxBytes, maxFrames } = this.#limits;
    return new FrameQueue({ maxBytes: maxBytes / 2, maxFrames: Math.ceil(maxFrames / 2) });
  }
}
