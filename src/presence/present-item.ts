import type { SessionConnection } from "../core/connection.ts";
import { StreamError } from "../core/errors.ts";
import { HeldElsewhere } from "../core/held-elsewhere.ts";
import type { GroupKey } from "../core/names.ts";
import type { Mutation, Store } from "../core/store.ts";
import { Value } from "../core/value.ts";
import { startTimer } from "../timers/timers.ts";

/** Pause before a change is stored again after the store failed, in milliseconds. */
const RETRY_MS = 1000;

/** What an announcement shows, and on whose behalf. */
export interface Shown {
  readonly data: Value;
  /** Id of the user; undefined: the caller is not a user. */
  readonly user: string | undefined;
  /** Author of the change. */
  readonly author: string;
}

/** The connection that an item shows, and is bound to. */
export type PresentConnection = Pick<
  SessionConnection,
  "connectionId" | "bind" | "track" | "isHeld" | "isOver" | "isReplaced" | "isBoundElsewhere"
>;

/** Dependencies of the items. */
export interface PresentItemOptions {
  readonly store: Pick<Store, "run" | "get">;
  /** Wall clock, Unix milliseconds. */
  readonly clock: () => number;
  /** Whether the process ends: failures are not retried. */
  readonly isClosed: () => boolean;
  /** Notified of failures in the background, which are retried. */
  readonly onProblem: (error: unknown) => void;
}

/** The item as this process last wrote or read it. */
interface Stored {
  /** JSON text of what it shows. */
  readonly text: string;
  /** Since when the connection is present, Unix milliseconds. */
  readonly sinceMs: number;
  readonly revision: number;
}

/**
 * The item of one connection in the presence of one group. It shows the latest announcement, and is
 * deleted after the last one. It is bound to the connection, whose end deletes it without this
 * object.
 *
 * One writer brings the stored item into line with the announcements, a step at a time, so that
 * those made meanwhile become one change. Another process may have taken up the session of the
 * connection, and decides about the item from then on: so each step begins only while the session is
 * certainly held here, is waited for by a take-up, and is conditional on what it replaces.
 */
export class PresentItem {
  readonly #options: PresentItemOptions;
  readonly #group: GroupKey;
  readonly #connection: PresentConnection;
  readonly #onIdle: () => void;
  /** The announcements, by the subscriptions that made them; the latest is the last. */
  readonly #shown = new Map<object, Shown>();
  #stored: Stored | "absent" | "unknown";
  /** Whether what is stored may have been lost since. */
  #isDoubted = false;
  /** Since when the connection is present, Unix milliseconds: also after its item was lost. */
  #sinceMs: number | undefined;
  #working: Promise<void> | undefined;
  #mayRetry = true;

  /** @param onIdle Called when nothing is announced, stored or under way. */
  constructor(
    options: PresentItemOptions,
    group: GroupKey,
    connection: PresentConnection,
    onIdle: () => void,
  ) {
    this.#options = options;
    this.#group = group;
    this.#connection = connection;
    this.#onIdle = onIdle;
    this.#stored = connection.isBoundElsewhere ? "unknown" : "absent";
  }

  /**
   * Shows an announcement, in place of an earlier one of the same subscription. One that changes
   * nothing finds out whether the item is still stored.
   */
  show(subscription: object, shown: Shown): void {
    const stored = this.#stored;
    if (typeof stored === "object" && stored.text === shown.data.text) this.#isDoubted = true;
    this.#shown.delete(subscription);
    this.#shown.set(subscription, shown);
  }

  /** Withdraws the announcement of a subscription. */
  withdraw(subscription: object): void {
    if (!this.#shown.delete(subscription)) return;
    void this.settleLater();
    this.#review();
  }

  /**
   * Brings the stored item into line with the announcements.
   *
   * @throws StreamError when the store failed.
   */
  settle(): Promise<void> {
    return this.#working ?? (this.#isSettled ? Promise.resolve() : this.#work());
  }

  /** The stored item may have been lost. Resolves when it is there again, or the store failed. */
  async check(): Promise<void> {
    this.#isDoubted = true;
    await this.settleLater();
  }

  /**
   * Brings it into line in the background, however often the store fails. Resolves when it is, or
   * will be tried again.
   */
  settleLater(): Promise<void> {
    return this.settle().catch((error: unknown) => {
      const { isClosed, onProblem } = this.#options;
      if (this.#isSettled || isClosed()) return;
      if (!(error instanceof HeldElsewhere)) onProblem(error);
      if (!this.#mayRetry) return;
      this.#mayRetry = false;
      startTimer(RETRY_MS, () => {
        this.#mayRetry = true;
        void this.settleLater();
      }).unref();
    });
  }

  #work(): Promise<void> {
    const work = async () => {
      try {
        // Announcements of one turn become one change, and the end of a connection comes first.
        await Promise.resolve();
        while (!this.#isSettled) {
          const isHeld = this.#connection.isHeld();
          if (isHeld !== true && !(await isHeld)) throw new HeldElsewhere();
          if (!this.#isSettled) await this.#step();
        }
      } finally {
        this.#working = undefined;
        this.#review();
      }
    };
    return (this.#working = work());
  }

  /** Reports when nothing is left of it. */
  #review(): void {
    const { isOver, isReplaced } = this.#connection;
    // What is replaced may come back here.
    if (isReplaced && !isOver) return;
    if (this.#working === undefined && this.#shown.size === 0 && this.#isSettled) this.#onIdle();
  }

  /** What is to be stored; undefined: nothing. */
  get #wanted(): Shown | undefined {
    return Array.from(this.#shown.values()).at(-1);
  }

  get #isSettled(): boolean {
    if (this.#connection.isOver || this.#connection.isReplaced) return true;
    const stored = this.#stored;
    if (stored === "unknown" || this.#isDoubted) return false;
    if (stored === "absent") return this.#shown.size === 0;
    return stored.text === this.#wanted?.data.text;
  }

  async #step(): Promise<void> {
    const stored = this.#isDoubted ? "unknown" : this.#stored;
    const wanted = this.#wanted;
    this.#isDoubted = false;
    // Unless the step succeeds, the item may be anything.
    this.#stored = "unknown";
    if (stored === "unknown") this.#stored = await this.#read();
    else if (wanted === undefined) this.#stored = await this.#delete(stored);
    else this.#stored = await this.#put(wanted, stored);
  }

  async #read(): Promise<Stored | "absent"> {
    const { item } = await this.#options.store.get(this.#group, this.#connection.connectionId);
    if (item === undefined) return "absent";
    const { data, since } = item.value.json() as { readonly data: object; readonly since: number };
    this.#sinceMs = since;
    return { text: JSON.stringify(data), sinceMs: since, revision: item.revision };
  }

  async #put(
    { data, user, author }: Shown,
    stored: Stored | "absent",
  ): Promise<Stored | "unknown"> {
    const { store, clock } = this.#options;
    const { connectionId: id } = this.#connection;
    const { sinceMs, revision } =
      stored === "absent" ? { sinceMs: this.#sinceMs ?? clock(), revision: 0 } : stored;
    const mutation: Mutation = {
      kind: "put",
      itemId: id,
      value: Value.of({ id, user: user ?? null, data: data.json(), since: sinceMs }),
      lifetime: { connection: id },
      expectedRevision: revision,
    };
    const [outcome] = await this.#connection.bind(this.#group, () =>
      store.run(this.#group, [{ mutations: [mutation], author }]),
    );
    if (outcome?.ok === true) {
      this.#sinceMs = sinceMs;
      return { text: data.text, sinceMs, revision: outcome.position.revision };
    }
    if (outcome?.error.reason === "REVISION_MISMATCH") return "unknown";
    throw outcome?.error ?? new StreamError("INTERNAL", "The store gave no outcome.");
  }

  /** @param stored Not "absent": then nothing is to be deleted. */
  async #delete(stored: Stored | "absent"): Promise<"absent" | "unknown"> {
    if (stored === "absent") return stored;
    const { connectionId } = this.#connection;
    const onlyIf = { connection: connectionId, revision: stored.revision };
    const mutation: Mutation = { kind: "delete", itemId: connectionId, onlyIf };
    const [outcome] = await this.#connection.track(() =>
      this.#options.store.run(this.#group, [{ mutations: [mutation] }]),
    );
    if (outcome?.ok !== true)
      throw outcome?.error ?? new StreamError("INTERNAL", "The store gave no outcome.");
    if (outcome.results[0]?.revision === undefined) return "unknown";
    this.#sinceMs = undefined;
    return "absent";
  }
}
