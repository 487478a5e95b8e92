import type { Outbox, Settled } from "../core/outbox.ts";

/** What a settler works with. */
export interface SettlerOptions {
  readonly outbox: Outbox;
  readonly partition: number;
  readonly fence: string;
  /** Told when settling fails. It is tried again. */
  readonly onError: (error: unknown) => void;
}

/** How long an entry may be done in part before that is noted, in milliseconds. */
const PARTIAL_MS = 250;
/** How long it waits after a failure, in milliseconds. */
const RETRY_MS = 1000;

/**
 * Tells the outbox what is done, many entries at a time. An entry that some of its triggers are done
 * with is noted a little later than one that all are done with: most often the others follow at once.
 */
export class Settler {
  readonly #options: SettlerOptions;
  /** How many triggers of each entry are not done. */
  readonly #remaining = new Map<number, number>();
  /** Done, and not yet told. */
  #done = new Map<number, string[]>();
  #complete = new Set<number>();
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** Entries that are not done. */
  get size(): number {
    return this.#remaining.size;
  }

  /** Expects an entry with so many triggers. */
  expect(seq: number, triggers: number): void {
    this.#remaining.set(seq, triggers);
  }

  /** A trigger is done with an entry. */
  done(seq: number, triggerId: string): void {
    const remaining = this.#remaining.get(seq);
    if (remaining === undefined) return;
    const triggers = this.#done.get(seq) ?? [];
    this.#done.set(seq, triggers);
    triggers.push(triggerId);
    if (remaining > 1) {
      this.#remaining.set(seq, remaining - 1);
      this.#notePartialLater();
      return;
    }
    this.#remaining.delete(seq);
    this.#complete.add(seq);
    this.#flush(false);
  }

  /** Tells what is left to tell. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#flushing;
    await this.#settle(this.#take(true)).catch((error: unknown) => this.#options.onError(error));
  }

  #notePartialLater(): void {
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
      if (this.#done.size > this.#complete.size) this.#notePartialLater();
    });
  }

  async #run(withPartial: boolean): Promise<void> {
    // What is done in this turn goes along.
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
