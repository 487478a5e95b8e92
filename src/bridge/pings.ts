import { type Timer, startInterval } from "../timers/timers.ts";
import { CHECKS_PER_INTERVAL } from "./liveness.ts";

/** A socket whose liveness is checked. */
export interface PingedSocket {
  /** Called CHECKS_PER_INTERVAL times per interval between pings. */
  check(): void;
}

/**
 * Checks the liveness of all sockets, with one timer for those that are pinged as configured, and
 * one for those whose loss has to be noticed sooner. A timer without sockets does not run.
 */
export class Pings {
  readonly #usual: Beat;
  readonly #often: Beat;
  readonly #isSooner: boolean;

  /**
   * @param intervalMs Between the pings of a socket, in milliseconds.
   * @param oftenMs The same for sockets whose loss has to be noticed soon.
   */
  constructor(intervalMs: number, oftenMs: number) {
    this.#usual = new Beat(intervalMs / CHECKS_PER_INTERVAL);
    this.#often = new Beat(oftenMs / CHECKS_PER_INTERVAL);
    this.#isSooner = oftenMs < intervalMs;
  }

  /** Pings a socket as configured. */
  add(socket: PingedSocket): void {
    this.#usual.add(socket);
  }

  /** Pings a socket more often from now on, unless it is pinged as often already. */
  hurry(socket: PingedSocket): void {
    if (this.#isSooner && this.#usual.remove(socket)) this.#often.add(socket);
  }

  /** Stops pinging a socket. */
  remove(socket: PingedSocket): void {
    if (!this.#usual.remove(socket)) this.#often.remove(socket);
  }
}

/** The sockets that are checked at one pace. */
class Beat {
  readonly #sockets = new Set<PingedSocket>();
  readonly #pauseMs: number;
  #timer: Timer | undefined;

  constructor(pauseMs: number) {
    this.#pauseMs = pauseMs;
  }

  add(socket: PingedSocket): void {
    this.#sockets.add(socket);
    this.#timer ??= startInterval(this.#pauseMs, () => {
      for (const each of this.#sockets) each.check();
    }).unref();
  }

  /** @returns Whether it was there. */
  remove(socket: PingedSocket): boolean {
    const had = this.#sockets.delete(socket);
    if (this.#sockets.size === 0) {
      this.#timer?.cancel();
      this.#timer = undefined;
    }
    return had;
  }
}
