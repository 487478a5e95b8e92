import { type Frame, frameBytes } from "../core/frame.ts";

/** Limits of the frames that one subscription holds beyond the transport's own buffers (G7). */
export interface SubscriberQueueLimits {
  /** Most bytes, by frameBytes. One frame always fits, however large. */
  readonly maxBytes: number;
  /** Most frames. */
  readonly maxFrames: number;
}

/** Default limits. */
export const DEFAULT_SUBSCRIBER_QUEUE_LIMITS: SubscriberQueueLimits = {
  maxBytes: 1024 * 1024,
  maxFrames: 1000,
};

/** The array of every empty queue. Never added to. */
const NONE: never[] = [];

/** A first-in first-out queue of frames, limited by count and bytes. */
export class FrameQueue<T extends Frame = Frame> {
  readonly #limits: SubscriberQueueLimits;
  #frames: (T | undefined)[] = NONE;
  #start = 0;
  #bytes = 0;

  constructor(limits: SubscriberQueueLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#frames.length - this.#start;
  }

  /** Adds a frame, even beyond the limits. */
  push(frame: T): void {
    // A literal has no spare capacity; most queues hold one frame at a time.
    if (this.#frames.length === 0) this.#frames = [frame];
    else this.#frames.push(frame);
    this.#bytes += frameBytes(frame);
  }

  /** Adds a frame if it fits. Returns whether it did. */
  offer(frame: T): boolean {
    const fits =
      this.length === 0 ||
      (this.length < this.#limits.maxFrames &&
        this.#bytes + frameBytes(frame) <= this.#limits.maxBytes);
    if (fits) this.push(frame);
    return fits;
  }

  /** Takes the oldest frame. */
  shift(): T | undefined {
    const frame = this.#frames[this.#start];
    if (frame === undefined) return undefined;
    this.#frames[this.#start++] = undefined;
    this.#bytes -= frameBytes(frame);
    // Amortised: the slots of taken frames are freed when they are half of the array.
    if (this.#start === this.#frames.length) this.clear();
    else if (this.#start > 64 && this.#start * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#start);
      this.#start = 0;
    }
    return frame;
  }

  /** Takes all frames, oldest first. */
  drain(): T[] {
    const frames = this.#frames.slice(this.#start) as T[];
    this.clear();
    return frames;
  }

  clear(): void {
    this.#frames = NONE;
    this.#start = 0;
    this.#bytes = 0;
  }
}
