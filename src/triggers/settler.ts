import type { Outbox, Settled } from "../core/outbox.ts";

/** Dependencies of a settler. */
export interface SettlerOptions {
  readonly outbox: Outbox;
  readonly partition: number;
  readonly fence: string;
  /** Reports a failed settlement. It is retried. */
  readonly onError: (error: unknown) => void;
}

/** How long a partly done entry waits before it is settled, in milliseconds. */
const PARTIAL_MS = 250;
/** Pause after a failure, in milliseconds. */
const RETRY_MS = 1000;

/**
 * Settles entries of the outbox in batches. An entry with triggers left is settled a little later
 * than a complete one: usually the other triggers follow at once.
 */
export class Settler {
  readonly #options: SettlerOptions;
  /** Number of triggers of each entry that are not done. */
  readonly #remaining = new Map<number, number>();
  /** Triggers that are done and not yet settled, by entry. */
  #done = new Map<number, string[]>();
  #complete = new Set<number>();
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** Number of entries that are not done. */
  get size(): number {
    return this.#remaining.size;
  }

  /** Expects an entry with `triggers` triggers. */
  expect(seq: number, triggers: number): void {
    this.#remaining.set(seq, triggers);
  }

  /** Marks a trigger as done with an entry. */
  done(seq: number, triggerId: string): void {
    const remaining = this.#remaining.get(seq);
    if (remaining === undefined) return;
    const triggers = this.#done.get(seq) ?? [];
    this.#done.set(seq, triggers);
    triggers.push(triggerId);
    if (remaining > 1) {
      this.#remaining.set(seq, remaining - 1);
      this.#settlePartialLater();
      return;
    }
    this.#remaining.delete(seq);
    this.#complete.add(seq);
    this.#flush(false);
  }

  /** Settles the rest. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#flushing;
    await this.#settle(this.#take(true)).catch((error: unknown) => this.#options.onError(error));
  }

  #settlePartialLater(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#flush(true);
    }, PARTIAL_MS);
  }

  #flush(withPartial: boolean): void {
    if (this.#closed) return;
    this.#flushing ??= this.#run(withPartial).finally(() => {
      this.#flushing = undefined;
      if (this.#complete.size > 0) this.#flush(false);
      if (this.#done.size > this.#complete.size) this.#settlePartialLater();
    });
  }

  async #run(withPartial: boolean): Promise<void> {
    // Includes triggers that finish within this event-loop turn.
    await new Promise((resolve) => setImmediate(resolve));
    const batch = this.#take(withPartial);
    try {
      await this.#settle(batch);
    } catch (error) {
      this.#options.onError(error);
      this.#putBack(batch);
      if (this.#closed) return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
    }
  }

  #take(withPartial: boolean): Settled[] {
    const seqs = withPartial ? this.#done.keys() : this.#complete;
    const batch = Array.from(seqs, (seq): Settled => {
      const triggers = this.#done.get(seq) ?? [];
      return { seq, triggers, complete: this.#complete.has(seq) };
    });
    for (const { seq } of batch) {
      this.#done.delete(seq);
      this.#complete.delete(seq);
    }
    return batch;
  }

  async #settle(batch: readonly Settled[]): Promise<void> {
    const { outbox, partition, fence } = this.#options;
    if (batch.length > 0) await outbox.settle(partition, batch, fence);
  }

  #putBack(batch: readonly Settled[]): void {
    for (const { seq, triggers, complete } of batch) {
      this.#done.set(seq, [...triggers, ...(this.#done.get(seq) ?? [])]);
      if (complete) this.#complete.add(seq);
    }
  }
}
