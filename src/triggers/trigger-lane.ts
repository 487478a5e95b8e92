import { Fifo } from "../core/fifo.ts";
import type { FunctionError } from "../core/function-call.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import type { Delivery } from "./delivery.ts";
import { type Tally, newTally } from "./trigger-counts.ts";

/** What a trigger is to be called with. */
export interface Job {
  /** JSON text. */
  readonly payload: string;
  /** How many firings and calls led to it. */
  readonly depth: number;
}

/** Why a job ended without its function having answered. */
export interface Loss {
  readonly reason: "failed" | "backlog" | "depth";
  readonly error: FunctionError | undefined;
  readonly attempts: number;
}

/** What a lane works with. Jobs are known by number; where they are kept is the source's matter. */
export interface LaneOptions {
  readonly trigger: BoundTrigger;
  /** Most calls at once, over all keys. */
  readonly maxConcurrent: number;
  /** Most jobs that wait; beyond it the oldest are let go. */
  readonly maxBacklog: number;
  /** Reads a job; undefined when it is gone. */
  readonly read: (seq: number) => Promise<Job | undefined>;
  /** Makes one attempt. Never rejects. */
  readonly deliver: (job: Job) => Promise<Delivery>;
  /** Whether all functions that it needs have a provider. */
  readonly isServed: () => boolean;
  /** A job is given up. Resolves when that is noted where people find it. Never rejects. */
  readonly onLost: (job: Job | undefined, loss: Loss) => Promise<void>;
  /** A job is done, one way or another: it need not be kept any more. */
  readonly onDone: (seq: number) => void;
  readonly random: () => number;
}

/** Jobs of one key, which go one at a time and in order. */
interface Key {
  readonly seqs: Fifo<number>;
  isRunning: boolean;
}

/** How long a job waits whose function could not be had just now, in milliseconds. */
const UNSERVED_PAUSE_MS = 50;
/** How long a job waits that could not be read, in milliseconds. */
const UNREADABLE_PAUSE_MS = 500;
/** After how many calls in which its provider went away a job counts as failed: it may be what kills them. */
const MAX_STOPS = 10;
const MAX_BACKOFF_MS = 3_600_000;

/**
 * What one trigger has yet to be called with.
 *
 * Jobs of one key (a group, a subscription) go one at a time and in the order they came; a job that
 * waits for its next attempt holds back its own key only. Keys run side by side, up to a limit. While
 * its function has no provider all of it waits.
 */
export class TriggerLane {
  readonly #options: LaneOptions;
  readonly #keys = new Map<string, Key>();
  /** Keys with a job whose turn it is. */
  readonly #ready = new Fifo<string>();
  /** Key of each job that has not begun. */
  readonly #waiting = new Map<number, string>();
  /** Jobs in the order they came, with some that have begun. */
  readonly #order = new Fifo<number>();
  /** Jobs that wait for their next attempt. */
  readonly #paused = new Map<number, NodeJS.Timeout>();
  readonly #tally: Tally = newTally();
  #running = 0;
  #closed = false;
  #whenIdle: (() => void)[] = [];

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get trigger(): BoundTrigger {
    return this.#options.trigger;
  }

  /** What has become of its jobs. */
  get tally(): Tally {
    return this.#tally;
  }

  /** Jobs that are not done. */
  get pending(): number {
    return this.#waiting.size + this.#running + this.#paused.size;
  }

  /** Adds a job behind those of its key. */
  push(seq: number, keyText: string): void {
    if (this.#closed) return;
    let key = this.#keys.get(keyText);
    if (key === undefined) {
      key = { seqs: new Fifo(), isRunning: false };
      this.#keys.set(keyText, key);
    }
    key.seqs.push(seq);
    this.#waiting.set(seq, keyText);
    this.#order.push(seq);
    if (key.seqs.length === 1 && !key.isRunning) this.#ready.push(keyText);
    if (this.#waiting.size > this.#options.maxBacklog) this.#dropOldest();
    this.pump();
  }

  /** Begins what can begin. To be called when providers came or went. */
  pump(): void {
    const { maxConcurrent, isServed } = this.#options;
    if (this.#closed || this.#ready.length === 0 || !isServed()) return;
    while (this.#running < maxConcurrent) {
      const keyText = this.#ready.shift();
      if (keyText === undefined) return;
      const key = this.#keys.get(keyText);
      // Its job was let go, and perhaps another one began meanwhile.
      if (key === undefined || key.isRunning) continue;
      const seq = key.seqs.shift();
      if (seq === undefined) continue;
      this.#waiting.delete(seq);
      key.isRunning = true;
      this.#running++;
      void this.#work(seq).finally(() => this.#finish(keyText, key));
    }
  }

  /** Lets a job go without a call: functions led to one another too often. */
  refuse(seq: number): void {
    this.#tally.dropped++;
    void this.#lose(seq, "depth");
  }

  /** Lets everything go that has not begun, as done: the trigger has ended. */
  abandon(): void {
    const seqs = [...this.#waiting.keys(), ...this.#paused.keys()];
    this.close();
    for (const seq of seqs) this.#options.onDone(seq);
  }

  /** Begins nothing more. What has not begun stays with the source. */
  close(): void {
    this.#closed = true;
    this.#ready.clear();
    this.#order.clear();
    this.#keys.clear();
    this.#waiting.clear();
    for (const timer of this.#paused.values()) clearTimeout(timer);
    this.#paused.clear();
    if (this.#running === 0) this.#idle();
  }

  /** Resolves when no call is under way. After close(). */
  async whenIdle(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #finish(keyText: string, key: Key): void {
    this.#running--;
    key.isRunning = false;
    if (this.#closed) {
      if (this.#running === 0) this.#idle();
      return;
    }
    if (key.seqs.length > 0) this.#ready.push(keyText);
    else this.#keys.delete(keyText);
    this.pump();
  }

  #idle(): void {
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Brings one job to its end. While it waits for its next attempt it does not count as running. */
  async #work(seq: number): Promise<void> {
    const { read, deliver, onDone, onLost, trigger, random } = this.#options;
    const { retry } = trigger.definition.config;
    let attempts = 0;
    let stops = 0;
    for (;;) {
      let job: Job | undefined;
      try {
        job = await read(seq);
      } catch {
        // It is somewhere, and its turn is now: those behind it have to wait.
        if (!(await this.#pause(seq, UNREADABLE_PAUSE_MS))) return;
        continue;
      }
      if (job === undefined) return onDone(seq);
      const delivery = await deliver(job);
      switch (delivery.kind) {
        case "fired":
          this.#tally.fired++;
          return onDone(seq);
        case "skipped":
          this.#tally.skipped++;
          return onDone(seq);
        case "unserved":
          if (delivery.error.code === "invocation_stopped") stops++;
          if (stops < MAX_STOPS) {
            if (!(await this.#pauseUntilServed(seq))) return;
            continue;
          }
          break;
        case "failed":
          attempts++;
          // A condition that fails skips the call: only the function's own failures are tried again.
          if (delivery.what === "function" && retry !== undefined && attempts < retry.maxAttempts) {
            this.#tally.retried++;
            const pauseMs = backoff(retry.initialBackoffMs, attempts, random);
            if (!(await this.#pause(seq, pauseMs))) return;
            continue;
          }
      }
      this.#tally.failed++;
      await onLost(job, { reason: "failed", error: delivery.error, attempts: attempts + stops });
      return onDone(seq);
    }
  }

  /** @returns whether to go on. */
  async #pauseUntilServed(seq: number): Promise<boolean> {
    do if (!(await this.#pause(seq, UNSERVED_PAUSE_MS))) return false;
    while (!this.#options.isServed());
    return true;
  }

  /** Lets others run meanwhile. @returns whether to go on: not after close(). */
  async #pause(seq: number, ms: number): Promise<boolean> {
    this.#running--;
    this.pump();
    if (this.#closed && this.#running === 0) this.#idle();
    // Once it is closed, it never goes on.
    if (!this.#closed)
      await new Promise<void>((resolve) => this.#paused.set(seq, setTimeout(resolve, ms)));
    this.#paused.delete(seq);
    this.#running++;
    return !this.#closed;
  }

  /** Lets go of the oldest job that has not begun. */
  #dropOldest(): void {
    for (let seq = this.#order.shift(); seq !== undefined; seq = this.#order.shift()) {
      const keyText = this.#waiting.get(seq);
      if (keyText === undefined) continue;
      this.#waiting.delete(seq);
      // The oldest of all is the oldest of its key.
      this.#keys.get(keyText)?.seqs.shift();
      this.#tally.dropped++;
      void this.#lose(seq, "backlog");
      return;
    }
  }

  async #lose(seq: number, reason: "backlog" | "depth"): Promise<void> {
    const { read, onLost, onDone } = this.#options;
    const job = await read(seq).catch(() => undefined);
    await onLost(job, { reason, error: undefined, attempts: 0 });
    onDone(seq);
  }
}

/** Doubles with each attempt, with up to a quarter more by chance, so that what failed together does not return together. */
function backoff(initialMs: number, attempts: number, random: () => number): number {
  return Math.min(MAX_BACKOFF_MS, initialMs * 2 ** (attempts - 1)) * (1 + random() / 4);
}
