import { type Frame, frameBytes } from "../core/frame.ts";

/** Bounds of what one subscription may hold beyond the transport's own buffers (G7). */
export interface QueueLimits {
  /** Most bytes, by frameBytes. One frame is always taken, however large. */
  readonly maxBytes: number;
  /** Most frames. */
  readonly maxFrames: number;
}

/** Bounds unless told otherwise. */
export const DEFAULT_QUEUE_LIMITS: QueueLimits = { maxBytes: 1024 * 1024, maxFrames: 1000 };

/** Never added to: what a queue holds that is empty. */
const NONE: never[] = [];

/** A first-in first-out queue of frames with bounds by count and bytes. */
export class FrameQueue<T extends Frame = Frame> {
  readonly #limits: QueueLimits;
  #frames: (T | undefined)[] = NONE;
  #start = 0;
  #bytes = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#frames.length - this.#start;
  }

  /** Adds a frame whatever the bounds say. */
  push(frame: T): void {
    // A literal is as long as it needs to be; most queues have one frame at a time.
    if (this.#frames.length === 0) this.#frames = [frame];
    else this.#frames.push(frame);
    this.#bytes += frameBytes(frame);
  }

  /** Adds a frame if it fits, and says whether it did. */
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
    // Amortised: what was taken is let go of when it is half of the array.
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
