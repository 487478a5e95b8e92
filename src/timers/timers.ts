/**
 * Timers of any length. A timer of the platform fires at once when it is given more than 2^31-1 ms
 * (24.8 days), so every wait whose length comes from a caller or from the configuration starts here.
 */

/** Longest wait of a timer of the platform, in milliseconds. */
const MAX_STEP_MS = 2 ** 31 - 1;

/** A wait that has begun. */
export interface Timer {
  /** Ends the wait: the callback is not called any more. Idempotent. */
  cancel(): void;
  /** Begins the whole wait anew. Does nothing after `cancel`. */
  refresh(): void;
  /** Does not keep the process alive any more. @returns The same timer. */
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

/** Calls back again and again, with a pause of any length before each call, in milliseconds. */
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

/** Waits in steps that a timer of the platform can take. Nearly every wait is one step. */
class SteppedTimer implements Timer {
  readonly #ms: number;
  readonly #callback: () => void;
  readonly #repeats: boolean;
  /** What is left after the present step, in milliseconds. */
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
    // The step of a short wait is the whole wait, and is cheap to begin again where the platform can.
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
    // Timers of browsers are numbers, and keep nothing alive.
    if (typeof this.#step === "object") this.#step.unref();
  }
}
