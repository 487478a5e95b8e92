import { Fifo } from "../core/fifo.ts";
import type { FunctionError } from "../core/function-call.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { Backlog, type Turn } from "./backlog.ts";
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

/** What becomes of a job that waited for another attempt. */
type Resumption = "go" | "drop" | "stop";

/** A job that waits for another attempt. */
interface Paused {
  readonly timer: NodeJS.Timeout | undefined;
  /** Whether it still counts as running. */
  readonly hasSlot: boolean;
  readonly resume: (how: Resumption) => void;
}

/** How long a job waits whose function could not take it just now, in milliseconds. */
const UNSERVED = { initialMs: 50, longestMs: 1000 };
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
  readonly #backlog = new Backlog();
  readonly #paused = new Map<number, Paused>();
  /** Jobs whose pause is over, and who need a slot to go on. */
  readonly #resuming = new Fifo<number>();
  readonly #tally: Tally = newTally();
  #running = 0;
  #isClosed = false;
  #isAbandoned = false;
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
    let pending = this.#backlog.size + this.#running;
    // Those that are both held and running.
    for (const { hasSlot } of this.#paused.values()) if (hasSlot) pending--;
    return pending;
  }

  /** Adds a job behind those of its key. */
  push(seq: number, keyText: string): void {
    if (this.#isClosed) return;
    this.#backlog.push(seq, keyText);
    if (this.#backlog.size > this.#options.maxBacklog) this.#dropOldest();
    this.pump();
  }

  /** Begins what can begin. To be called when providers came or went. */
  pump(): void {
    const { maxConcurrent, isServed } = this.#options;
    while (!this.#isClosed && this.#running < maxConcurrent && isServed()) {
      const resumed = this.#resuming.shift();
      if (resumed !== undefined) {
        this.#resume(resumed, "go");
        continue;
      }
      const turn = this.#backlog.take();
      if (turn === undefined) return;
      this.#running++;
      void this.#work(turn.seq).finally(() => this.#finish(turn));
    }
  }

  /** Lets a job go without a call: functions led to one another too often. */
  refuse(seq: number): void {
    this.#tally.dropped++;
    void this.#lose(seq, "depth");
  }

  /** Lets everything go, as done: the trigger has ended. */
  abandon(): void {
    this.#isAbandoned = true;
    const seqs = this.#backlog.clear();
    this.close();
    for (const seq of seqs) this.#options.onDone(seq);
  }

  /** Begins nothing more. What is not done stays with the source. */
  close(): void {
    this.#isClosed = true;
    this.#backlog.clear();
    for (const seq of Array.from(this.#paused.keys())) this.#resume(seq, "stop");
    if (this.#running === 0) this.#idle();
  }

  /** Resolves when no call is under way. After close(). */
  async whenIdle(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  #finish(turn: Turn): void {
    this.#running--;
    this.#backlog.release(turn);
    if (!this.#isClosed) this.pump();
    else if (this.#running === 0) this.#idle();
  }

  #idle(): void {
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Brings one job to its end, or leaves it when the lane closes. */
  async #work(seq: number): Promise<void> {
    const isDone = await this.#attempt(seq);
    // What was left of a trigger that has ended is done with, too.
    if (isDone || this.#isAbandoned) this.#options.onDone(seq);
  }

  /** @returns whether the job is done; not when the lane closed before. */
  async #attempt(seq: number): Promise<boolean> {
    const { deliver, onLost, trigger, random, isServed } = this.#options;
    const { retry } = trigger.definition.config;
    let attempts = 0;
    let stops = 0;
    let unserved = 0;
    for (;;) {
      const job = await this.#read(seq);
      if (job === "stop") return false;
      if (job === undefined) return true;
      const delivery = await deliver(job);
      let pause: Promise<Resumption> | undefined;
      switch (delivery.kind) {
        case "fired":
          this.#tally.fired++;
          return true;
        case "skipped":
          this.#tally.skipped++;
          return true;
        case "unserved":
          if (delivery.error.code === "invocation_stopped") stops++;
          if (stops >= MAX_STOPS) break;
          // While nobody is there, others need not wait for a slot. One who is there, and takes no more,
          // is not asked by ever more jobs: this one keeps its slot.
          if (!isServed()) pause = this.#pause(seq, undefined);
          else pause = this.#pause(seq, backoff(UNSERVED, ++unserved, random), true);
          break;
        case "failed":
          attempts++;
          // A condition that fails skips the call: only the function's own failures are tried again.
          if (delivery.what === "function" && retry !== undefined && attempts < retry.maxAttempts) {
            this.#tally.retried++;
            const bounds = { initialMs: retry.initialBackoffMs, longestMs: MAX_BACKOFF_MS };
            pause = this.#pause(seq, backoff(bounds, attempts, random));
          }
      }
      if (pause === undefined) {
        this.#tally.failed++;
        await onLost(job, { reason: "failed", error: delivery.error, attempts: attempts + stops });
        return true;
      }
      const resumption = await pause;
      if (resumption === "stop") return false;
      if (resumption === "go") continue;
      this.#tally.dropped++;
      await onLost(job, { reason: "backlog", error: undefined, attempts });
      return true;
    }
  }

  /** Reads a job, however often it takes: those behind it have to wait. */
  async #read(seq: number): Promise<Job | "stop" | undefined> {
    for (;;) {
      try {
        return await this.#options.read(seq);
      } catch {
        if ((await this.#pause(seq, UNREADABLE_PAUSE_MS, true)) === "stop") return "stop";
      }
    }
  }

  /**
   * Waits for another attempt.
   *
   * @param ms Undefined: until its function has a provider.
   * @param keepsSlot Whether it counts as running meanwhile; otherwise others run, and it waits for a
   *   slot afterwards.
   */
  #pause(seq: number, ms: number | undefined, keepsSlot = false): Promise<Resumption> {
    if (this.#isClosed) return Promise.resolve("stop");
    this.#backlog.hold(seq);
    return new Promise((resume) => {
      const isOver = () => {
        if (keepsSlot) return this.#resume(seq, "go");
        this.#resuming.push(seq);
        this.pump();
      };
      const timer = ms === undefined ? undefined : setTimeout(isOver, ms);
      this.#paused.set(seq, { timer, hasSlot: keepsSlot, resume });
      if (!keepsSlot) {
        this.#running--;
        if (ms === undefined) isOver();
        else this.pump();
      }
      if (this.#backlog.size > this.#options.maxBacklog) this.#dropOldest();
    });
  }

  #resume(seq: number, how: Resumption): void {
    const paused = this.#paused.get(seq);
    // It was dropped while it waited for a slot.
    if (paused === undefined) return;
    clearTimeout(paused.timer);
    this.#paused.delete(seq);
    this.#backlog.unhold(seq);
    if (!paused.hasSlot) this.#running++;
    paused.resume(how);
  }

  /** Lets go of the oldest job that is not being called. */
  #dropOldest(): void {
    const oldest = this.#backlog.dropOldest();
    if (oldest === undefined) return;
    if (oldest.isHeld) return this.#resume(oldest.seq, "drop");
    this.#tally.dropped++;
    void this.#lose(oldest.seq, "backlog");
  }

  async #lose(seq: number, reason: "backlog" | "depth"): Promise<void> {
    const { read, onLost, onDone } = this.#options;
    const job = await read(seq).catch(() => undefined);
    await onLost(job, { reason, error: undefined, attempts: 0 });
    onDone(seq);
  }
}

/** Doubles with each attempt, with up to a quarter more by chance, so that what failed together does not return together. */
function backoff(
  { initialMs, longestMs }: { readonly initialMs: number; readonly longestMs: number },
  attempts: number,
  random: () => number,
): number {
  return Math.min(longestMs, initialMs * 2 ** (attempts - 1)) * (1 + random() / 4);
}
