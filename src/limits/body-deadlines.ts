/** Longest wait for a message, from its first byte to its last, in milliseconds. */
export const BODY_TIMEOUT_MS = 30_000;

/** How often it is looked whether a body has come too late, in milliseconds. */
const LOOK_MS = 1000;

/** What waits for the rest of a message. */
export interface Awaiting {
  /** It took too long. Called once. */
  late(): void;
}

/**
 * Has bodies arrive in time. Nearly all are whole at once, and a timer for each would cost more than
 * reading it, so one timer looks after all; a body may take up to a second longer than it should.
 */
export class BodyDeadlines {
  readonly #timeoutMs: number;
  /** Since when each waits, in milliseconds of `performance.now()`, the oldest first. */
  readonly #since = new Map<Awaiting, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param timeoutMs How long a body may take. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** A body has begun to arrive. */
  begin(awaiting: Awaiting): void {
    this.#since.set(awaiting, performance.now());
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** It is whole, or nobody waits for it any more. */
  end(awaiting: Awaiting): void {
    this.#since.delete(awaiting);
  }

  #look(): void {
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

/** Those of all messages of requests. */
export const BODY_DEADLINES = new BodyDeadlines(BODY_TIMEOUT_MS);
