/** Checks per interval between pings: a ping is late by one part of the interval, at most. */
export const CHECKS_PER_INTERVAL = 8;

/** Decides whether a client is alive. Any inbound frame proves it. */
export class Liveness {
  #missed = 0;
  #checksLeft = CHECKS_PER_INTERVAL + 1;

  /** Notes an inbound frame. */
  onFrame(): void {
    this.#missed = 0;
  }

  /**
   * To be called CHECKS_PER_INTERVAL times per interval.
   *
   * @returns `ping` when a ping is due, `dead` when nothing was received after two pings in a row.
   */
  check(): "ping" | "dead" | "wait" {
    if (--this.#checksLeft > 0) return "wait";
    this.#checksLeft = CHECKS_PER_INTERVAL;
    if (this.#missed >= 2) return "dead";
    this.#missed++;
    return "ping";
  }
}
