import { AsyncResource } from "node:async_hooks";
import { StreamError } from "../../core/errors.ts";
import type { GroupKey } from "../../core/names.ts";
import type { Broadcast, Commit, Outcome } from "../../core/store.ts";
import type { Disk, Write } from "./disk.ts";
import type { WriteBatch } from "./write-batch.ts";

/** Limits of the queue and of its batches. */
export interface CommitQueueLimits {
  /** Most commits and events that wait. */
  readonly maxWaiting: number;
  /** Most bytes of values that wait. */
  readonly maxWaitingBytes: number;
  /** A batch ends at the first of these limits, but has at least one commit. */
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  /** A batch that is not on disk after this long counts as failed, in milliseconds. */
  readonly commitTimeoutMs: number;
}

/** Default limits. */
export const DEFAULT_COMMIT_QUEUE_LIMITS: CommitQueueLimits = {
  maxWaiting: 100_000,
  maxWaitingBytes: 256 * 1024 * 1024,
  maxBatch: 1000,
  maxBatchBytes: 4 * 1024 * 1024,
  commitTimeoutMs: 60_000,
};

/** Dependencies of the queue. */
export interface QueueContext {
  readonly disk: Pick<Disk, "submit">;
  readonly limits: CommitQueueLimits;
  /** A batch on top of the latest durable state. Does not read, and does not throw. */
  readonly begin: () => WriteBatch;
  /** Makes a durable batch visible and announces it. Called before its calls resolve. */
  readonly publish: (batch: WriteBatch) => void;
  /** Called once per batch: after it was published, had nothing to write, or failed. */
  readonly end: () => void;
}

/** A call in the queue, with one step per commit. */
interface Job {
  /** Runs the next step. @returns Whether it was the last. */
  readonly step: (batch: WriteBatch) => boolean;
  readonly resolve: () => void;
  readonly reject: (error: StreamError) => void;
  steps: number;
  bytes: number;
  /** Whether some of its steps are in a batch that was submitted. */
  submitted: boolean;
}

/** A batch that is ready to be written. */
interface Built {
  /** The calls whose steps it has. */
  readonly taken: readonly Job[];
  readonly batch: WriteBatch;
  readonly writes: readonly Write[];
}

/**
 * The only path to the disk: calls that arrive while a batch is written form the next one, so
 * concurrent writers share its flush. Calls take effect in the order in which they arrive.
 *
 * No write is acknowledged, announced or visible before it is durable. When a batch fails, the
 * outcome of its commits is unknown, and the queue accepts no more: after a failed flush the
 * operating system may have dropped what it could not write, so only a restart shows what is on the
 * disk.
 */
export class CommitQueue {
  readonly #context: QueueContext;
  readonly #scope = new AsyncResource("CommitQueue");
  #jobs: Job[] = [];
  #waiting = 0;
  #waitingBytes = 0;
  #failure: StreamError | undefined;
  #closed = false;
  /** Resolves when the queue is empty; undefined while it is. */
  #working: Promise<void> | undefined;

  constructor(context: QueueContext) {
    this.#context = context;
  }

  /** The failure for which it refuses every call until a restart. */
  get failure(): StreamError | undefined {
    return this.#failure;
  }

  /**
   * Runs commits of one group.
   *
   * @throws StreamError OVERLOADED, STORE_UNAVAILABLE, OUTCOME_UNKNOWN
   */
  run(group: GroupKey, commits: readonly Commit[]): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = [];
    if (commits.length === 0) return Promise.resolve(outcomes);
    const step = (batch: WriteBatch) => {
      const commit = commits[outcomes.length];
      if (commit !== undefined) outcomes.push(batch.commit(group, commit));
      return outcomes.length === commits.length;
    };
    return this.#enqueue(step, commits.length, bytesOf(commits), () => outcomes);
  }

  /**
   * Announces a transient event. @throws StreamError OVERLOADED, STORE_UNAVAILABLE, OUTCOME_UNKNOWN
   */
  broadcast(group: GroupKey, message: Broadcast): Promise<void> {
    const step = (batch: WriteBatch) => {
      batch.broadcast(group, message);
      return true;
    };
    return this.#enqueue(step, 1, message.value.size, () => undefined);
  }

  /**
   * Writes records that belong to no group. @throws StreamError OVERLOADED, STORE_UNAVAILABLE,
   * OUTCOME_UNKNOWN
   */
  write(writesOn: Parameters<WriteBatch["write"]>[0]): Promise<void> {
    const step = (batch: WriteBatch) => {
      batch.write(writesOn);
      return true;
    };
    return this.#enqueue(step, 1, 0, () => undefined);
  }

  /** Sweeps groups that are due. @returns Whether there is more to do. */
  sweep(maxGroups: number, maxDrops: number): Promise<boolean> {
    let more = false;
    const step = (batch: WriteBatch) => {
      more = batch.sweep(maxGroups, maxDrops);
      return true;
    };
    return this.#enqueue(step, 1, 0, () => more);
  }

  /**
   * Accepts no more, and rejects waiting calls. The batch that is being written is not affected.
   */
  fail(failure: StreamError): void {
    this.#failure ??= failure;
    for (const job of this.#jobs)
      job.reject(job.submitted ? outcomeUnknown(failure) : this.#failure);
    this.#jobs = [];
    this.#waiting = 0;
    this.#waitingBytes = 0;
  }

  /** Finishes waiting calls and accepts no more. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#working;
  }

  #enqueue<T>(step: Job["step"], steps: number, bytes: number, result: () => T): Promise<T> {
    const refusal = this.#refusal(steps, bytes);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const done = () => resolve(result());
      this.#jobs.push({ step, steps, bytes, resolve: done, reject, submitted: false });
      this.#waiting += steps;
      this.#waitingBytes += bytes;
      // Not in the async context of the first caller: the work serves all, and announces.
      this.#working ??= this.#scope.runInAsyncScope(() => this.#work());
    });
  }

  #refusal(steps: number, bytes: number): StreamError | undefined {
    const { limits } = this.#context;
    if (this.#closed) return new StreamError("STORE_UNAVAILABLE", "The store is closed.");
    if (this.#failure !== undefined) return this.#failure;
    // A call larger than the limits is accepted when nothing else waits.
    const isFull =
      this.#waiting + steps > limits.maxWaiting ||
      this.#waitingBytes + bytes > limits.maxWaitingBytes;
    if (!isFull || this.#jobs.length === 0) return undefined;
    return new StreamError(
      "OVERLOADED",
      "Too many writes wait for the disk; the call may be sent again later.",
    );
  }

  async #work(): Promise<void> {
    /** Calls whose last step is durable, but which are not resolved yet. */
    let done: readonly Job[] = [];
    while (this.#jobs.length > 0 || done.length > 0) {
      // Calls that arrive in this turn of the event loop join the batch.
      await turn();
      const batch = this.#jobs.length > 0 ? this.#build() : undefined;
      const written = batch && this.#write(batch);
      // The calls are resolved while the disk writes the next batch, which the driver also starts
      // in an immediate.
      if (written === undefined) acknowledge(done);
      else setImmediate(acknowledge, done);
      done = (await written) ?? [];
      // A single writer gains nothing by waiting for the next batch.
      if (done.length === 1 && this.#jobs.length === 0) {
        acknowledge(done);
        done = [];
      }
    }
    this.#working = undefined;
    // The shares of bytes per step may have rounding errors.
    this.#waitingBytes = 0;
  }

  /**
   * Builds a batch of waiting steps. @returns undefined when that failed and its calls were
   * rejected.
   */
  #build(): Built | undefined {
    const taken: Job[] = [];
    const batch = this.#context.begin();
    try {
      this.#fill(batch, taken);
      return { taken, batch, writes: batch.writes() };
    } catch (cause) {
      this.#context.end();
      // Nothing was written, but an earlier batch may have written part of a long call.
      this.#drop(taken);
      for (const job of taken) {
        job.reject(job.submitted ? outcomeUnknown(cause) : unreadable(cause));
      }
      return undefined;
    }
  }

  /**
   * Writes a batch to the disk, and announces it. @returns The calls whose last step is durable
   * now.
   */
  async #write({ taken, batch, writes }: Built): Promise<readonly Job[]> {
    try {
      for (const job of taken) job.submitted = true;
      if (writes.length > 0) {
        await withTimeout(this.#context.disk.submit(writes), this.#context.limits.commitTimeoutMs);
        this.#context.publish(batch);
      }
    } catch (cause) {
      this.#fail(taken, cause);
      return [];
    } finally {
      this.#context.end();
    }
    return taken.filter(({ steps }) => steps === 0);
  }

  /** Takes steps into the batch until it is full. */
  #fill(batch: WriteBatch, taken: Job[]): void {
    const { limits } = this.#context;
    let steps = 0;
    // Counts the bytes of the resulting changes: an update of few bytes may rewrite a large item.
    const isFull = () => steps >= limits.maxBatch || batch.bytes >= limits.maxBatchBytes;
    for (const job of this.#jobs) {
      if (isFull()) break;
      taken.push(job);
      while (job.steps > 0 && !isFull()) {
        const stepBytes = job.bytes / job.steps;
        job.step(batch);
        job.steps -= 1;
        job.bytes -= stepBytes;
        this.#waiting -= 1;
        this.#waitingBytes -= stepBytes;
        steps += 1;
      }
    }
    // Only the last one taken may have steps left.
    const last = taken.at(-1);
    this.#jobs = this.#jobs.slice(
      last === undefined || last.steps === 0 ? taken.length : taken.length - 1,
    );
  }

  /** Removes jobs from the queue, done or not. */
  #drop(taken: readonly Job[]): void {
    const dropped = new Set(taken);
    for (const job of dropped) {
      this.#waiting -= job.steps;
      this.#waitingBytes -= job.bytes;
    }
    this.#jobs = this.#jobs.filter((job) => !dropped.has(job));
  }

  #fail(taken: readonly Job[], cause: unknown): void {
    for (const job of taken) job.reject(outcomeUnknown(cause));
    this.fail(cause instanceof StreamError ? cause : writeFailed(cause));
  }
}

function writeFailed(cause: unknown): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    "The store failed to write to its disk and takes no more writes until the service is restarted.",
    { cause },
  );
}

function acknowledge(done: readonly Job[]): void {
  for (const job of done) job.resolve();
}

function outcomeUnknown(cause: unknown): StreamError {
  return new StreamError(
    "OUTCOME_UNKNOWN",
    "The store failed during the write; the call may or may not have taken effect.",
    {
      cause,
    },
  );
}

function unreadable(cause: unknown): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    "The store could not read its data; nothing was changed.",
    { cause },
  );
}

function bytesOf(commits: readonly Commit[]): number {
  let bytes = 0;
  for (const { mutations } of commits) {
    for (const mutation of mutations) {
      if (mutation.kind === "put") bytes += mutation.value.size;
      else if (mutation.kind === "reduce") bytes += mutation.bytes;
      else if (mutation.kind === "record") bytes += mutation.after?.size ?? 0;
    }
  }
  return bytes;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Counts in parts, so a process that was suspended does not time out when it wakes up. */
function withTimeout(work: Promise<void>, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let parts = 0;
    const timer = setInterval(() => {
      parts += 1;
      if (parts === 10) reject(new Error(`A write took more than ${timeoutMs} ms.`));
    }, timeoutMs / 10);
    void work.then(resolve, reject).finally(() => clearInterval(timer));
  });
}
