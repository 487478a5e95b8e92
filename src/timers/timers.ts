/**
 * Timers of any length. A timer of the platform fires at once when its delay exceeds 2^31-1 ms
 * (24.8 days), so every wait whose length comes from a caller or from the configuration uses these.
 */

/** Longest wait of a timer of the platform, in milliseconds. */
const MAX_STEP_MS = 2 ** 31 - 1;

/** A running timer. */
export interface Timer {
  /** Stops the timer: the callback is not called any more. Idempotent. */
  cancel(): void;
  /** Restarts the timer. Does nothing after `cancel`. */
  refresh(): void;
  /** Stops the timer from keeping the process alive. @returns The same timer. */
  unref(): this;
}

/**
 * Calls back once, after a time of any length.
 *
 * @param ms Milliseconds from now; `Infinity` never ends.
 */
export function startTimer(ms: number, callback: () => void): Timer {
  return new SteppedTimer(ms, callback, false);
}

/** Calls back repeatedly, with a pause of any length before each call, in milliseconds. */
export function startInterval(ms: number, callback: () => void): Timer {
  return new SteppedTimer(ms, callback, true);
}

/**
 * Resolves after a time of any length, in milliseconds.
 *
 * @param signal Rejects with its reason as soon as it is aborted.
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error);
    const onAbort = () => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = startTimer(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Waits for work to end, at most a time of any length, in milliseconds. Rejects when the work does.
 */
export async function waitAtMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: Timer | undefined;
  const end = new Promise<void>((resolve) => (timer = startTimer(ms, resolve)));
  try {
    await Promise.race([work, end]);
  } finally {
    timer?.cancel();
  }
}

/** Waits in steps within the limit of the platform's timers. Nearly every wait is one step. */
class SteppedTimer implements Timer {
  readonly #ms: number;
  readonly #callback: () => void;
  readonly #repeats: boolean;
  /** Time left after the current step, in milliseconds. */
  #leftMs = 0;
  #step: ReturnType<typeof setTimeout> | undefined;
  #isCancelled = false;
  #isUnref = false;

  constructor(ms: number, callback: () => void, repeats: boolean) {
    this.#ms = ms;
    this.#callback = callback;
    this.#repeats = repeats;
    this.#begin(ms);
  }

  cancel(): void {
    this.#isCancelled = true;
    clearTimeout(this.#step);
  }

  refresh(): void {
    if (this.#isCancelled) return;
    // A short wait is one step, which is cheap to restart where the platform supports it.
    if (this.#ms <= MAX_STEP_MS && typeof this.#step === "object") this.#step.refresh();
    else {
      clearTimeout(this.#step);
      this.#begin(this.#ms);
    }
  }

  unref(): this {
    this.#isUnref = true;
    this.#unrefStep();
    return this;
  }

  #begin(ms: number): void {
    const stepMs = Math.min(ms, MAX_STEP_MS);
    this.#leftMs = ms - stepMs;
    this.#step = setTimeout(this.#onStep, stepMs);
    if (this.#isUnref) this.#unrefStep();
  }

  readonly #onStep = (): void => {
    if (this.#leftMs > 0) return this.#begin(this.#leftMs);
    if (this.#repeats) this.#begin(this.#ms);
    this.#callback();
  };

  #unrefStep(): void {
    // Browsers' timers are numbers, and keep no process alive.
    if (typeof this.#step === "object") this.#step.unref();
  }
}
