import { setImmediate as nextTurn } from "node:timers/promises";
import { type GroupKey, groupKeyText } from "../core/names.ts";
import type { Firing } from "../core/outbox.ts";
import type { ItemPage, Mutation, Store } from "../core/store.ts";
import { type Timer, sleep, startTimer } from "../timers/timers.ts";
import { GroupQueue } from "./group-queue.ts";

/** Delay before groups are checked, to collect their writes, in milliseconds. */
const DELAY_MS = 100;
/** Delay before a group is checked again after the store failed, in milliseconds. */
const RETRY_MS = 1000;
/** Most items that one step deletes. */
const MAX_ITEMS_AT_ONCE = 100;
const MAX_BYTES_AT_ONCE = 4 * 1024 * 1024;
/** Most groups that are checked concurrently. */
const MAX_CONCURRENT = 8;
/** Groups of one step of the scan, and the pause after it, in milliseconds. */
const SCAN_GROUPS = 100;
const SCAN_PAUSE_MS = 50;

/** Dependencies of the evictor. */
export interface EvictorOptions {
  readonly store: Pick<Store, "list" | "run" | "allGroups">;
  /** Most items in a group of the stream; undefined: no limit. */
  readonly maxItemsOf: (streamName: string) => number | undefined;
  /** The triggers that a change of an item fires. */
  readonly firing: (group: GroupKey, itemId: string) => Firing | undefined;
}

/**
 * Deletes the oldest created items of groups that have too many.
 *
 * Each deletion is an ordinary change, on the condition that the item is still the one that was
 * read: an update does not matter, an item that was created anew stays. A page has the number of all
 * items at its own position, so one step finds the oldest ones beyond the limit; processes that
 * evict concurrently delete each item once.
 *
 * A worker takes one step for a group and puts it back at the end of the queue, so a large group
 * does not delay others. A group whose step fails waits on its own.
 */
export class Evictor {
  readonly #options: EvictorOptions;
  readonly #stopping = new AbortController();
  /** Groups that were written since the last check began, by their text. */
  #noted = new Map<string, GroupKey>();
  #collecting: Timer | undefined;
  readonly #queue = new GroupQueue();
  readonly #workers = new Set<Promise<void>>();
  /** Items beyond the limit that the last step of a group left, by the text of the group. */
  readonly #left = new Map<string, number>();
  readonly #retries = new Set<Timer>();

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  /** Checks a group soon, because items were created there. */
  note(group: GroupKey): void {
    if (this.#options.maxItemsOf(group.streamName) === undefined) return;
    if (this.#stopping.signal.aborted) return;
    this.#noted.set(groupKeyText(group), group);
    this.#collecting ??= startTimer(DELAY_MS, () => this.#checkNoted());
  }

  /**
   * Checks all groups once, slowly: limits may be lower than before, and a process may have died
   * before it evicted.
   */
  async scan(): Promise<void> {
    const { signal } = this.#stopping;
    let after: GroupKey | undefined;
    while (!signal.aborted) {
      try {
        const page = { limit: SCAN_GROUPS, ...(after !== undefined && { after }) };
        const { groups } = await this.#options.store.allGroups(page);
        for (const group of groups) this.#checkLater(group);
        after = groups.at(-1);
        if (after === undefined) return;
        await sleep(SCAN_PAUSE_MS, signal);
      } catch {
        if (signal.aborted) return;
        await sleep(RETRY_MS, signal).catch(() => {});
      }
    }
  }

  /** Stops, and waits for the steps under way. */
  async close(): Promise<void> {
    this.#stopping.abort();
    this.#collecting?.cancel();
    for (const timer of this.#retries) timer.cancel();
    await Promise.all(this.#workers);
  }

  #checkNoted(): void {
    this.#collecting = undefined;
    for (const group of this.#noted.values()) {
      this.#queue.addFresh(group);
      this.#startWorker();
    }
    this.#noted = new Map();
  }

  #checkLater(group: GroupKey): void {
    if (this.#options.maxItemsOf(group.streamName) === undefined) return;
    this.#queue.addToBacklog(group);
    this.#startWorker();
  }

  #startWorker(): void {
    if (this.#workers.size >= MAX_CONCURRENT || this.#stopping.signal.aborted) return;
    const worker: Promise<void> = this.#work().finally(() => this.#workers.delete(worker));
    this.#workers.add(worker);
  }

  async #work(): Promise<void> {
    for (;;) {
      // Stores in memory never wait for anything else.
      await nextTurn();
      const group = this.#stopping.signal.aborted ? undefined : this.#queue.take();
      if (group === undefined) return;
      try {
        this.#queue.finish(group, await this.#evictSome(group));
      } catch {
        this.#queue.finish(group, false);
        this.#retryLater(group);
      }
    }
  }

  #retryLater(group: GroupKey): void {
    if (this.#stopping.signal.aborted) return;
    const timer = startTimer(RETRY_MS, () => {
      this.#retries.delete(timer);
      this.#checkLater(group);
    });
    this.#retries.add(timer);
  }

  /** Takes one step. @returns whether the group may still have too many items. */
  async #evictSome(group: GroupKey): Promise<boolean> {
    const { store, maxItemsOf } = this.#options;
    const maxItems = maxItemsOf(group.streamName) ?? Infinity;
    const text = groupKeyText(group);
    const left = this.#left.get(text);
    this.#left.delete(text);
    const expected =
      left ?? (await store.list(group, { maxCount: 1, maxBytes: 1 })).itemCount - maxItems;
    if (expected <= 0) return false;
    const maxCount = Math.min(expected, MAX_ITEMS_AT_ONCE);
    const oldest = await store.list(group, { maxCount, maxBytes: MAX_BYTES_AT_ONCE });
    // Others may have deleted some since.
    const excess = oldest.itemCount - maxItems;
    if (excess <= 0) return false;
    const evicted = await this.#delete(group, oldest, excess);
    if (evicted === excess) return false;
    this.#left.set(text, excess - evicted);
    return true;
  }

  /** Deletes the items of a page, at most the given number. @returns how many it deleted. */
  async #delete(group: GroupKey, { items, position }: ItemPage, maxCount: number): Promise<number> {
    const { store, firing } = this.#options;
    const onlyIf = { maxCreatedRevision: position.revision };
    const mutations = items.slice(0, maxCount).map(({ itemId }): Mutation => {
      const fires = firing(group, itemId);
      return { kind: "delete", cause: "evicted", itemId, onlyIf, fires };
    });
    const [outcome] = await store.run(group, [{ mutations, expectedEpoch: position.epoch }]);
    if (outcome?.ok === true)
      return outcome.results.filter(({ revision }) => revision !== undefined).length;
    if (outcome?.error.reason === "EPOCH_MISMATCH") return 0;
    throw new Error("Items could not be evicted.");
  }
}
