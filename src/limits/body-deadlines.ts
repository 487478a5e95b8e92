/** Longest wait for a message, from its first byte to its last, in milliseconds. */
export const BODY_TIMEOUT_MS = 30_000;

/** How often overdue bodies are looked for, in milliseconds. */
const CHECK_MS = 1000;

/** A reader that waits for the rest of a message. */
export interface Awaiting {
  /** Called once, when the message is overdue. */
  late(): void;
}

/**
 * The timeout of bodies that are still arriving. Nearly all arrive whole, and a timer for each
 * would cost more than reading it, so they share one timer; a body may overrun its time by up to a
 * second.
 */
export class BodyDeadlines {
  readonly #timeoutMs: number;
  /** When each wait began, in milliseconds of `performance.now()`, oldest first. */
  readonly #since = new Map<Awaiting, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param timeoutMs How long a body may take. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Starts the timeout of a body that has begun to arrive. */
  begin(awaiting: Awaiting): void {
    this.#since.set(awaiting, performance.now());
    this.#timer ??= setInterval(() => this.#check(), CHECK_MS).unref();
  }

  /** Ends the timeout of a body: it is whole, or no longer needed. */
  end(awaiting: Awaiting): void {
    this.#since.delete(awaiting);
  }

  #check(): void {
    const nowMs = performance.now();
    for (const [awaiting, sinceMs] of this.#since) {
      if (nowMs - sinceMs < this.#timeoutMs) return;
      this.#since.delete(awaiting);
      awaiting.late();
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** The deadlines of all request messages. */
export const BODY_DEADLINES = new BodyDeadlines(BODY_TIMEOUT_MS);
