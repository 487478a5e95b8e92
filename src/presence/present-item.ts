import { StreamError } from "../core/errors.ts";
import type { Cause } from "../core/lifetime.ts";
import type { GroupKey } from "../core/names.ts";
import type { Mutation, Store } from "../core/store.ts";
import { Value } from "../core/value.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Pause before a change is stored again after the store failed, in milliseconds. */
const RETRY_MS = 1000;

/** What an announcement shows, and on whose behalf. */
export interface Shown {
  readonly data: Value;
  /** Id of the user; undefined: the caller is none. */
  readonly user: string | undefined;
  /** Author of the change. */
  readonly author: string;
}

/** The item as this process last wrote or read it. */
interface Stored {
  /** JSON text of what it shows. */
  readonly text: string;
  /** Since when the connection is present, Unix milliseconds. */
  readonly sinceMs: number;
  readonly revision: number;
}

/** Dependencies of the items. */
export interface ItemOptions {
  readonly store: Pick<Store, "run" | "get">;
  /** Wall clock, Unix milliseconds. */
  readonly clock: () => number;
  /** Notified of failures in the background, which are tried again. */
  readonly onProblem: (error: unknown) => void;
}

/** How an item begins, and is forgotten. */
interface ItemLife {
  /** Whether no other process has stored it. */
  readonly isKnown: boolean;
  /** Called when nothing is announced, stored or under way any more. */
  readonly onIdle: () => void;
}

/**
 * The item of one connection in the presence of one group. It shows the latest announcement, and is
 * deleted after the last one.
 *
 * One writer brings the stored item into line with the announcements, a step at a time, so that
 * those made meanwhile become one change. Each step is conditional on what it changes: another
 * process may have taken the connection up.
 */
export class PresentItem {
  readonly #options: ItemOptions;
  readonly #group: GroupKey;
  readonly #connectionId: string;
  readonly #onIdle: () => void;
  /** The announcements, by the subscriptions that made them; the latest is the last. */
  readonly #shown = new Map<object, Shown>();
  #stored: Stored | "absent" | "unknown";
  #state: "open" | "over" | "dropped" = "open";
  #working: Promise<void> | undefined;
  #retry: Timer | undefined;

  constructor(options: ItemOptions, group: GroupKey, connectionId: string, life: ItemLife) {
    this.#options = options;
    this.#group = group;
    this.#connectionId = connectionId;
    this.#onIdle = life.onIdle;
    this.#stored = life.isKnown ? "absent" : "unknown";
  }

  /** Shows an announcement, in place of an earlier one of the same subscription. */
  show(subscription: object, shown: Shown): void {
    this.#shown.delete(subscription);
    this.#shown.set(subscription, shown);
  }

  /** Withdraws the announcement of a subscription. */
  withdraw(subscription: object): void {
    if (!this.#shown.delete(subscription)) return;
    this.settleLater();
    this.#review();
  }

  /** Deletes it, because the connection is over. */
  end(): void {
    if (this.#state === "open") this.#state = "over";
    this.#shown.clear();
    this.settleLater();
    this.#review();
  }

  /** Leaves it as it is: another process has the connection. */
  drop(): void {
    this.#state = "dropped";
    this.#retry?.cancel();
  }

  /** Resolves when no step is under way. */
  async whenQuiet(): Promise<void> {
    await this.#working?.catch(() => {});
  }

  /** Brings it into line in the background, however often the store fails. */
  settleLater(): void {
    this.settle().catch((error: unknown) => {
      if (this.#state === "dropped") return;
      this.#options.onProblem(error);
      this.#retry?.cancel();
      this.#retry = startTimer(RETRY_MS, () => this.settleLater()).unref();
    });
  }

  /**
   * Brings the stored item into line with the announcements.
   *
   * @throws StreamError when the store failed.
   */
  settle(): Promise<void> {
    return this.#working ?? (this.#isSettled ? Promise.resolve() : this.#work());
  }

  #work(): Promise<void> {
    const work = async () => {
      try {
        // What is announced together is one change.
        await Promise.resolve();
        while (!this.#isSettled) await this.#step();
      } finally {
        this.#working = undefined;
        this.#review();
      }
    };
    return (this.#working = work());
  }

  /** Reports when nothing is left of it. */
  #review(): void {
    if (this.#working === undefined && this.#shown.size === 0 && this.#isSettled) this.#onIdle();
  }

  /** What is to be stored; undefined: nothing. */
  get #wanted(): Shown | undefined {
    return this.#state === "open" ? Array.from(this.#shown.values()).at(-1) : undefined;
  }

  get #isSettled(): boolean {
    if (this.#state === "dropped") return true;
    const stored = this.#stored;
    if (stored === "unknown") return false;
    if (stored === "absent") return this.#wanted === undefined;
    return stored.text === this.#wanted?.data.text;
  }

  async #step(): Promise<void> {
    const wanted = this.#wanted;
    if (this.#stored === "unknown") await this.#read();
    else if (wanted !== undefined) await this.#put(wanted, this.#stored);
    else await this.#delete();
  }

  async #read(): Promise<void> {
    const { item } = await this.#options.store.get(this.#group, this.#connectionId);
    if (item === undefined) this.#stored = "absent";
    else {
      const { data, since } = item.value.json() as { readonly data: object; since: number };
      this.#stored = { text: JSON.stringify(data), sinceMs: since, revision: item.revision };
    }
  }

  async #put({ data, user, author }: Shown, stored: Stored | "absent"): Promise<void> {
    const { store, clock } = this.#options;
    const id = this.#connectionId;
    const { sinceMs, revision } = stored === "absent" ? { sinceMs: clock(), revision: 0 } : stored;
    const mutation: Mutation = {
      kind: "put",
      itemId: id,
      value: Value.of({ id, user: user ?? null, data: data.json(), since: sinceMs }),
      lifetime: { connection: id },
      expectedRevision: revision,
    };
    // Unless it succeeds, the item may be anything.
    this.#stored = "unknown";
    const [outcome] = await store.run(this.#group, [{ mutations: [mutation], author }]);
    if (outcome?.ok === true)
      this.#stored = { text: data.text, sinceMs, revision: outcome.position.revision };
    else if (outcome?.error.reason !== "REVISION_MISMATCH")
      throw outcome?.error ?? new StreamError("INTERNAL", "The store gave no outcome.");
  }

  async #delete(): Promise<void> {
    const cause: Cause | undefined = this.#state === "over" ? "disconnected" : undefined;
    const onlyIf = { connection: this.#connectionId };
    const mutation: Mutation = { kind: "delete", itemId: this.#connectionId, cause, onlyIf };
    this.#stored = "unknown";
    await this.#options.store.run(this.#group, [{ mutations: [mutation] }]);
    this.#stored = "absent";
  }
}
