import { Fifo } from "../core/fifo.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { Backlog, type Turn } from "./backlog.ts";
import type { Delivery } from "./delivery.ts";
import type { Job, Loss } from "./job.ts";
import { type Tally, newTally } from "./trigger-counts.ts";

/** Dependencies of a queue. Jobs are identified by number; their source stores them. */
export interface TriggerQueueOptions {
  /** The trigger. `rebind` replaces it. */
  readonly trigger: BoundTrigger;
  /** Most concurrent calls, over all keys. */
  readonly maxConcurrent: number;
  /**
   * Most waiting jobs; beyond it the oldest are dropped. Those of a trigger with `start` are not:
   * their source replaces them (see isOverfull).
   */
  readonly maxBacklog: number;
  /** Reads a job; undefined when it no longer exists. */
  readonly read: (seq: number) => Promise<Job | undefined>;
  /** Makes one attempt. Never rejects. */
  readonly deliver: (trigger: BoundTrigger, job: Job) => Promise<Delivery>;
  /** Whether all functions that it needs have a provider. */
  readonly isServed: (trigger: BoundTrigger) => boolean;
  /**
   * Records a job that was given up, for people to find. Resolves when it is recorded. Never
   * rejects.
   */
  readonly onLost: (trigger: BoundTrigger, job: Job | undefined, loss: Loss) => Promise<void>;
  /** Reports a job that is done, whatever its outcome: the source may remove it. */
  readonly onDone: (seq: number) => void;
  readonly random: () => number;
}

/** How a job continues that waited for another attempt. */
type Resumption = "go" | "stop" | Drop;

/** Why a waiting job is dropped. */
type Drop = "backlog" | "max_away";

/** A job that waits for another attempt. */
interface Paused {
  readonly timer: NodeJS.Timeout | undefined;
  /** Whether it keeps its slot meanwhile. */
  readonly hasSlot: boolean;
  readonly resume: (how: Resumption) => void;
}

/** Backoff of a job whose function is overloaded, in milliseconds. */
const UNSERVED = { initialMs: 50, longestMs: 1000 };
/** Pause of a job that could not be read, in milliseconds. */
const UNREADABLE_PAUSE_MS = 500;
/**
 * Number of calls with a disconnected provider after which a job fails: it may be what kills the
 * provider.
 */
const MAX_STOPS = 10;
const MAX_BACKOFF_MS = 3_600_000;

/**
 * The queue of jobs of one trigger.
 *
 * Jobs of one key (a group, a subscription) run one at a time and in order of arrival; a job that
 * waits for its next attempt blocks only its own key. Keys run concurrently, up to a limit. While
 * its function has no provider, all jobs wait.
 */
export class TriggerQueue {
  readonly #options: TriggerQueueOptions;
  readonly #backlog = new Backlog();
  readonly #paused = new Map<number, Paused>();
  /** Jobs whose pause is over and that need a slot to continue. */
  readonly #resuming = new Fifo<number>();
  readonly #tally: Tally = newTally();
  #trigger: BoundTrigger;
  #isShut = false;
  #running = 0;
  #isClosed = false;
  #isAbandoned = false;
  #whenIdle: (() => void)[] = [];

  constructor(options: TriggerQueueOptions) {
    this.#options = options;
    this.#trigger = options.trigger;
  }

  get trigger(): BoundTrigger {
    return this.#trigger;
  }

  /** Whether all functions that it needs have a provider. */
  get isServed(): boolean {
    return this.#options.isServed(this.#trigger);
  }

  /** Whether more jobs wait than may. */
  get isOverfull(): boolean {
    return this.#backlog.size > this.#options.maxBacklog;
  }

  /** Whether the queue is shut: it starts no jobs until it is opened. */
  get isShut(): boolean {
    return this.#isShut;
  }

  /** Outcomes of its jobs. */
  get tally(): Tally {
    return this.#tally;
  }

  /** Number of jobs that are not done. */
  get pending(): number {
    let pending = this.#backlog.size + this.#running;
    // Jobs that are both held and running count once.
    for (const { hasSlot } of this.#paused.values()) if (hasSlot) pending--;
    return pending;
  }

  /** Uses the present definition of the trigger from the next call on. */
  rebind(trigger: BoundTrigger): void {
    this.#trigger = trigger;
  }

  /** Starts no more jobs until it is opened. */
  shut(): void {
    this.#isShut = true;
  }

  /** Starts jobs again. */
  open(): void {
    this.#isShut = false;
    this.pump();
  }

  /** Adds a job behind those of its key. */
  push(seq: number, keyText: string): void {
    if (this.#isClosed) return;
    this.#backlog.push(seq, keyText);
    if (this.isOverfull) void this.#dropOldest("backlog");
    this.pump();
  }

  /** Number of jobs of a key that have not begun. */
  waitingOf(keyText: string): number {
    return this.#backlog.waitingOf(keyText);
  }

  /** The keys with jobs that have not begun. */
  waitingKeys(): Iterable<string> {
    return this.#backlog.waitingKeys();
  }

  /** The oldest job that waits; undefined when none does. */
  oldest(isPassedOver?: (seq: number) => boolean): number | undefined {
    return this.#backlog.oldest(isPassedOver);
  }

  /** Removes the jobs of a key that have not begun. They are the caller's to complete. */
  collapse(keyText: string): readonly number[] {
    return this.#backlog.removeKey(keyText);
  }

  /** Drops the oldest waiting job, because its function was away for too long. */
  async dropLate(): Promise<void> {
    await this.#dropOldest("max_away");
  }

  /** Starts all jobs that can start. To be called when providers change. */
  pump(): void {
    const { maxConcurrent } = this.#options;
    while (!this.#isClosed && !this.#isShut && this.#running < maxConcurrent && this.isServed) {
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

  /** Drops a job without a call: the chain of functions is too long. */
  refuse(seq: number): void {
    this.#tally.dropped++;
    void this.#lose(seq, "depth");
  }

  /** Drops all jobs as done: the trigger has ended. */
  abandon(): void {
    this.#isAbandoned = true;
    const seqs = this.#backlog.clear();
    this.close();
    for (const seq of seqs) this.#options.onDone(seq);
  }

  /** Starts no more jobs. Those that are not done stay with the source. */
  close(): void {
    this.#isClosed = true;
    this.#backlog.clear();
    for (const seq of Array.from(this.#paused.keys())) this.#resume(seq, "stop");
    if (this.#running === 0) this.#idle();
  }

  /** Resolves when no call is in progress. To be called after close(). */
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

  /** Runs one job to its end, or leaves it when the queue closes. */
  async #work(seq: number): Promise<void> {
    const isDone = await this.#attempt(seq);
    // The remaining jobs of an ended trigger count as done.
    if (isDone || this.#isAbandoned) this.#options.onDone(seq);
  }

  /** @returns Whether the job is done; false when the queue closed before. */
  async #attempt(seq: number): Promise<boolean> {
    const { deliver, onLost, random } = this.#options;
    let attempts = 0;
    let stops = 0;
    let unserved = 0;
    for (;;) {
      const job = await this.#read(seq);
      if (job === "stop") return false;
      if (job === undefined) return true;
      const trigger = this.#trigger;
      const { retry } = trigger.definition.config;
      const delivery = await deliver(trigger, job);
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
          // Without a provider, other jobs need not wait for a slot. An overloaded provider must
          // not be called by ever more jobs: this one keeps its slot.
          if (!this.isServed) pause = this.#pause(seq, undefined);
          else pause = this.#pause(seq, backoff(UNSERVED, ++unserved, random), true);
          break;
        case "failed":
          attempts++;
          // A condition that fails skips the call: only failures of the function are retried.
          if (delivery.what === "function" && retry !== undefined && attempts < retry.maxAttempts) {
            this.#tally.retried++;
            const limits = { initialMs: retry.initialBackoffMs, longestMs: MAX_BACKOFF_MS };
            pause = this.#pause(seq, backoff(limits, attempts, random));
          }
      }
      if (pause === undefined) {
        this.#tally.failed++;
        await onLost(trigger, job, {
          reason: "failed",
          error: delivery.error,
          attempts: attempts + stops,
        });
        return true;
      }
      const resumption = await pause;
      if (resumption === "stop") return false;
      if (resumption === "go") continue;
      this.#tally.dropped++;
      await onLost(trigger, job, { reason: resumption, error: undefined, attempts });
      return true;
    }
  }

  /** Reads a job, with retries: the jobs behind it have to wait. */
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
   * @param keepsSlot Whether it keeps its slot meanwhile; otherwise other jobs use the slot, and it
   *   waits for one afterwards.
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
      if (this.isOverfull) void this.#dropOldest("backlog");
    });
  }

  #resume(seq: number, how: Resumption): void {
    const paused = this.#paused.get(seq);
    // The job was dropped while it waited for a slot.
    if (paused === undefined) return;
    clearTimeout(paused.timer);
    this.#paused.delete(seq);
    this.#backlog.unhold(seq);
    if (!paused.hasSlot) this.#running++;
    paused.resume(how);
  }

  /** Drops the oldest job that is not being called. */
  async #dropOldest(why: Drop): Promise<void> {
    if (this.#trigger.definition.config.start !== undefined) return;
    const oldest = this.#backlog.dropOldest();
    if (oldest === undefined) return;
    if (oldest.isHeld) return this.#resume(oldest.seq, why);
    this.#tally.dropped++;
    await this.#lose(oldest.seq, why);
  }

  async #lose(seq: number, reason: Drop | "depth"): Promise<void> {
    const { read, onLost, onDone } = this.#options;
    const job = await read(seq).catch(() => undefined);
    await onLost(this.#trigger, job, { reason, error: undefined, attempts: 0 });
    onDone(seq);
  }
}

/**
 * Doubles with each attempt, plus a random quarter at most, so that simultaneous failures do not
 * retry together.
 */
function backoff(
  { initialMs, longestMs }: { readonly initialMs: number; readonly longestMs: number },
  attempts: number,
  random: () => number,
): number {
  return Math.min(longestMs, initialMs * 2 ** (attempts - 1)) * (1 + random() / 4);
}
