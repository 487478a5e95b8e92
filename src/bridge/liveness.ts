/** How many times per interval sockets are checked: a ping is late by a part of it, at most. */
export const CHECKS_PER_INTERVAL = 8;

/** Whether a client is alive. Any inbound frame is a sign of life. */
export class Liveness {
  #missed = 0;
  #checksLeft = CHECKS_PER_INTERVAL + 1;

  /** A frame came. */
  onFrame(): void {
    this.#missed = 0;
  }

  /**
   * To be called CHECKS_PER_INTERVAL times per interval.
   *
   * @returns `ping` when the client has to be asked for a sign of life, `dead` when it gave none to two
   *   pings in a row.
   */
  check(): "ping" | "dead" | "wait" {
    if (--this.#checksLeft > 0) return "wait";
    this.#checksLeft = CHECKS_PER_INTERVAL;
    if (this.#missed >= 2) return "dead";
    this.#missed++;
    return "ping";
  }
}
