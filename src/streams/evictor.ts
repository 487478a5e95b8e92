import { type GroupKey, groupKeyText } from "../core/names.ts";
import type { Firing } from "../core/outbox.ts";
import type { Commit, ItemPage, Outcome, Store } from "../core/store.ts";
import { type Timer, sleep, startTimer } from "../timers/timers.ts";

/** Delay before a group is checked, to collect its writes, in milliseconds. */
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
 * Each deletion is an ordinary, conditional change: an item that has changed meanwhile stays until
 * the next check. A page has the number of all items at its own position, so one step finds the
 * oldest ones beyond the limit; processes that evict concurrently never delete more.
 */
export class Evictor {
  readonly #options: EvictorOptions;
  readonly #stopping = new AbortController();
  /** Groups to check, by their text. */
  #waiting = new Map<string, GroupKey>();
  #timer: Timer | undefined;
  #working: Promise<void> | undefined;

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  /** Checks a group soon, because items were created there. */
  note(group: GroupKey): void {
    if (this.#options.maxItemsOf(group.streamName) === undefined) return;
    this.#waiting.set(groupKeyText(group), group);
    this.#schedule(DELAY_MS);
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
        for (const group of groups) this.note(group);
        after = groups.at(-1);
        if (after === undefined) return;
        await sleep(SCAN_PAUSE_MS, signal);
      } catch {
        if (signal.aborted) return;
        await sleep(RETRY_MS, signal).catch(() => {});
      }
    }
  }

  /** Stops, and waits for the step under way. */
  async close(): Promise<void> {
    this.#stopping.abort();
    this.#timer?.cancel();
    await this.#working;
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || this.#stopping.signal.aborted) return;
    this.#timer = startTimer(delayMs, () => {
      this.#working = this.#work().finally(() => {
        this.#timer = undefined;
        this.#working = undefined;
        if (this.#waiting.size > 0) this.#schedule(DELAY_MS);
      });
    });
  }

  async #work(): Promise<void> {
    const groups = this.#waiting.values();
    this.#waiting = new Map();
    const failed: GroupKey[] = [];
    const worker = async () => {
      for (const group of groups) {
        if (this.#stopping.signal.aborted) return;
        await this.#evict(group).catch(() => failed.push(group));
      }
    };
    await Promise.all(Array.from({ length: MAX_CONCURRENT }, worker));
    if (failed.length === 0) return;
    await sleep(RETRY_MS, this.#stopping.signal).catch(() => {});
    for (const group of failed) this.#waiting.set(groupKeyText(group), group);
  }

  async #evict(group: GroupKey): Promise<void> {
    const { store, maxItemsOf } = this.#options;
    const excessOf = ({ itemCount }: ItemPage) =>
      itemCount - (maxItemsOf(group.streamName) ?? Infinity);
    let excess = excessOf(await store.list(group, { maxCount: 1, maxBytes: 1 }));
    while (excess > 0 && !this.#stopping.signal.aborted) {
      const maxCount = Math.min(excess, MAX_ITEMS_AT_ONCE);
      const oldest = await store.list(group, { maxCount, maxBytes: MAX_BYTES_AT_ONCE });
      // Others may have deleted some since.
      excess = excessOf(oldest);
      const items = oldest.items.slice(0, Math.max(0, excess));
      if (items.length === 0) return;
      const outcomes = await store.run(
        group,
        items.map(({ itemId, revision }) => this.#deletion(group, itemId, revision, oldest)),
      );
      excess -= outcomes.filter(({ ok }) => ok).length;
      if (outcomes.some(isFailure)) throw new Error("Items could not be evicted.");
    }
  }

  #deletion(
    group: GroupKey,
    itemId: string,
    expectedRevision: number,
    { position }: ItemPage,
  ): Commit {
    const fires = this.#options.firing(group, itemId);
    return {
      mutations: [{ kind: "delete", cause: "evicted", itemId, expectedRevision, fires }],
      expectedEpoch: position.epoch,
    };
  }
}

/** Whether a deletion was refused for another reason than that its item has changed. */
function isFailure(outcome: Outcome): boolean {
  if (outcome.ok) return false;
  const { reason } = outcome.error;
  return reason !== "REVISION_MISMATCH" && reason !== "EPOCH_MISMATCH";
}
