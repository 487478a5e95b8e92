import type { GroupEvent } from "../core/change.ts";
import type { Position } from "../core/position.ts";
import { FrameQueue, type QueueLimits } from "./frame-queue.ts";

/**
 * What a channel released last: a contiguous suffix, within half of the bounds of a queue. The oldest
 * slide out.
 */
export class SlidingWindow {
  readonly #limits: QueueLimits;
  #events: FrameQueue<GroupEvent> | undefined;
  #start: Position;

  /** @param start It holds what is released after this. */
  constructor(limits: QueueLimits, start: Position) {
    this.#limits = limits;
    this.#start = start;
  }

  /** It holds what was released after this. */
  get start(): Position {
    return this.#start;
  }

  /** Begins anew. */
  restart(start: Position): void {
    this.#events = undefined;
    this.#start = start;
  }

  /** Keeps an event, and lets go of the oldest over the bounds. */
  slide(event: GroupEvent): void {
    const events = (this.#events ??= this.#create());
    while (!events.offer(event)) {
      const oldest = events.shift() as GroupEvent;
      if (oldest.kind === "change") this.#start = oldest.position;
    }
  }

  /** Takes all, oldest first. */
  drain(): GroupEvent[] {
    const events = this.#events?.drain() ?? [];
    this.#events = undefined;
    return events;
  }

  /** Puts back the newest of what was taken. */
  putBack(events: readonly GroupEvent[]): void {
    if (events.length === 0) return;
    this.#events = this.#create();
    for (const event of events) this.#events.push(event);
  }

  #create(): FrameQueue<GroupEvent> {
    const { maxBytes, maxFrames } = this.#limits;
    return new FrameQueue({ maxBytes: maxBytes / 2, maxFrames: Math.ceil(maxFrames / 2) });
  }
}
