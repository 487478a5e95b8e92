import type { BridgeLimits } from "./limits.ts";

/** How many times per interval sockets are looked at: a ping is late by a part of it, at most. */
export const LOOKS_PER_INTERVAL = 8;

/** What is known of whether a client lives, and how fast it sends. Any inbound frame is a sign of life. */
export class Life {
  readonly #limits: BridgeLimits;
  #missed = 0;
  #looksLeft = LOOKS_PER_INTERVAL + 1;
  #tokens: number;
  #refilledAtMs = performance.now();

  constructor(limits: BridgeLimits) {
    this.#limits = limits;
    this.#tokens = limits.maxFrameBurst;
  }

  /** A frame came. @returns whether frames come slowly enough. */
  hear(): boolean {
    const { maxFrameBurst, maxFramesPerSecond } = this.#limits;
    this.#missed = 0;
    const nowMs = performance.now();
    const refill = ((nowMs - this.#refilledAtMs) * maxFramesPerSecond) / 1000;
    this.#tokens = Math.min(maxFrameBurst, this.#tokens + refill) - 1;
    this.#refilledAtMs = nowMs;
    return this.#tokens >= 0;
  }

  /**
   * To be called LOOKS_PER_INTERVAL times per interval.
   *
   * @returns `ping` when the client has to be asked for a sign of life, `dead` when it gave none to two
   *   pings in a row.
   */
  look(): "ping" | "dead" | "wait" {
    if (--this.#looksLeft > 0) return "wait";
    this.#looksLeft = LOOKS_PER_INTERVAL;
    if (this.#missed >= 2) return "dead";
    this.#missed++;
    return "ping";
  }
}
