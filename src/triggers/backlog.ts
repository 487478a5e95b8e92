import { Fifo } from "../core/fifo.ts";

/** A job taken from the backlog. */
export interface Turn {
  readonly seq: number;
  readonly keyText: string;
}

/** The jobs of one key, in order of arrival. */
interface Key {
  readonly seqs: Fifo<number>;
  /** Whether one of them is taken and not released. */
  isBusy: boolean;
  /** Whether it is in the list of ready keys. */
  isListed: boolean;
}

/** How many stale entries a list may have before it is compacted. */
const SLACK = 1024;

/**
 * Waiting jobs, by key: one job of each key is taken at a time, in order, and keys take turns. Its
 * memory is proportional to the jobs in it, not to those that passed through.
 */
export class Backlog {
  readonly #keys = new Map<string, Key>();
  /** Ready keys, including stale ones. */
  #ready = new Fifo<string>();
  /** Key of each job that is not taken. */
  readonly #waiting = new Map<number, string>();
  /** Jobs that are taken and not released. */
  readonly #taken = new Set<number>();
  /** Taken jobs that wait for another attempt. */
  readonly #held = new Set<number>();
  /** All jobs in order of arrival, including stale ones; those in `#passed` arrived before. */
  #order = new Fifo<number>();
  /** Taken jobs that dropOldest has removed from `#order`, oldest first. */
  readonly #passed = new Set<number>();

  /** Number of jobs that wait to be taken or for another attempt. */
  get size(): number {
    return this.#waiting.size + this.#held.size;
  }

  /** Adds a job behind those of its key. */
  push(seq: number, keyText: string): void {
    let key = this.#keys.get(keyText);
    if (key === undefined) {
      key = { seqs: new Fifo(), isBusy: false, isListed: false };
      this.#keys.set(keyText, key);
    }
    key.seqs.push(seq);
    this.#waiting.set(seq, keyText);
    this.#order.push(seq);
    this.#list(keyText, key);
    const jobs = this.#waiting.size + this.#taken.size;
    if (this.#order.length > 2 * jobs + SLACK) this.#tidyOrder();
  }

  /** Takes the next job. Its key is busy until `release`. */
  take(): Turn | undefined {
    for (let keyText = this.#ready.shift(); keyText !== undefined; keyText = this.#ready.shift()) {
      const key = this.#keys.get(keyText);
      if (key?.isListed !== true) continue;
      key.isListed = false;
      const seq = key.isBusy ? undefined : key.seqs.shift();
      if (seq === undefined) continue;
      key.isBusy = true;
      this.#waiting.delete(seq);
      this.#taken.add(seq);
      return { seq, keyText };
    }
    return undefined;
  }

  /** Releases a taken job, which has ended. */
  release({ seq, keyText }: Turn): void {
    this.#taken.delete(seq);
    this.#passed.delete(seq);
    const key = this.#keys.get(keyText);
    if (key === undefined) return;
    key.isBusy = false;
    if (key.seqs.length > 0) this.#list(keyText, key);
    else this.#keys.delete(keyText);
  }

  /** Marks a taken job as waiting for another attempt. */
  hold(seq: number): void {
    this.#held.add(seq);
  }

  /** Ends the wait of a held job. */
  unhold(seq: number): void {
    this.#held.delete(seq);
  }

  /** Removes the oldest waiting job. @returns The job, and whether it is taken and held. */
  dropOldest(): { readonly seq: number; readonly isHeld: boolean } | undefined {
    for (const seq of this.#passed) if (this.#held.delete(seq)) return { seq, isHeld: true };
    for (let seq = this.#order.shift(); seq !== undefined; seq = this.#order.shift()) {
      if (this.#taken.has(seq)) this.#passed.add(seq);
      if (this.#held.delete(seq)) return { seq, isHeld: true };
      const keyText = this.#waiting.get(seq);
      if (keyText === undefined) continue;
      this.#waiting.delete(seq);
      const key = this.#keys.get(keyText);
      // The oldest job of all is the oldest of its key.
      key?.seqs.shift();
      if (key?.seqs.length === 0 && !key.isBusy) this.#keys.delete(keyText);
      if (this.#ready.length > 2 * this.#keys.size + SLACK) this.#tidyReady();
      return { seq, isHeld: false };
    }
    return undefined;
  }

  /** Number of jobs of a key that wait to be taken. */
  waitingOf(keyText: string): number {
    return this.#keys.get(keyText)?.seqs.length ?? 0;
  }

  /** The keys with jobs that wait to be taken. */
  *waitingKeys(): Generator<string, void> {
    for (const [keyText, { seqs }] of this.#keys) if (seqs.length > 0) yield keyText;
  }

  /** The oldest job that waits, to be taken or for another attempt. */
  oldest(isPassedOver: (seq: number) => boolean = () => false): number | undefined {
    const waits = (seq: number) =>
      (this.#waiting.has(seq) || this.#held.has(seq)) && !isPassedOver(seq);
    for (const seq of this.#passed) if (waits(seq)) return seq;
    for (const seq of this.#order) if (waits(seq)) return seq;
    return undefined;
  }

  /** Removes the jobs of a key that wait to be taken. @returns The jobs, in order. */
  removeKey(keyText: string): number[] {
    const key = this.#keys.get(keyText);
    if (key === undefined) return [];
    const seqs = Array.from(key.seqs);
    key.seqs.clear();
    for (const seq of seqs) this.#waiting.delete(seq);
    if (!key.isBusy) this.#keys.delete(keyText);
    return seqs;
  }

  /** Removes all jobs that are not taken. @returns The jobs, in order. */
  clear(): number[] {
    const seqs = Array.from(this.#waiting.keys());
    this.#keys.clear();
    this.#waiting.clear();
    this.#ready.clear();
    this.#order.clear();
    return seqs;
  }

  #list(keyText: string, key: Key): void {
    if (key.isListed || key.isBusy) return;
    key.isListed = true;
    this.#ready.push(keyText);
  }

  #tidyReady(): void {
    const ready = new Fifo<string>();
    const seen = new Set<string>();
    for (let text = this.#ready.shift(); text !== undefined; text = this.#ready.shift()) {
      if (this.#keys.get(text)?.isListed !== true || seen.has(text)) continue;
      seen.add(text);
      ready.push(text);
    }
    this.#ready = ready;
  }

  #tidyOrder(): void {
    const order = new Fifo<number>();
    for (let seq = this.#order.shift(); seq !== undefined; seq = this.#order.shift())
      if (this.#waiting.has(seq) || this.#taken.has(seq)) order.push(seq);
    this.#order = order;
  }
}
