import type { GroupEvent } from "../core/change.ts";
import { type GroupKey, groupKeyText, groupOfText } from "../core/names.ts";
import type { BoundTrigger, StartReason } from "../core/trigger.ts";
import { RecentMap } from "../core/recent-map.ts";
import { sleep } from "../timers/timers.ts";
import type { StateSource } from "./state-source.ts";
import { startReference } from "./start-reference.ts";
import { syncPayload } from "./sync-payload.ts";
import type { Job } from "./job.ts";

/** A group whose state a trigger has yet to receive: an entry of the outbox. */
interface PendingStart {
  readonly group: GroupKey;
  readonly key: string;
  readonly reason: StartReason;
  readonly reference: string;
}

/** Most entries that are added to the outbox at once. */
const MARKS_AT_ONCE = 32;
/** Pause after a failure, in milliseconds. */
const RETRY_MS = 1000;
/** Number of groups whose epoch is remembered. */
const MAX_EPOCHS = 100_000;

/**
 * The starts of one trigger in one partition: the groups whose state it has yet to receive, and the
 * events that the states it has received cover.
 *
 * A start is an entry of the outbox, so it survives the process, and has its place among the events
 * of its group. The state covers the events before it, and those that enter the outbox while it
 * waits, because the state is read when its turn comes.
 */
export class Starts {
  readonly #states: StateSource;
  readonly #stopping = new AbortController();
  /** By the number of their entry. */
  readonly #pending = new Map<number, PendingStart>();
  /** Groups whose start waits for its turn. */
  readonly #waiting = new Map<string, number>();
  /** Groups that need a start, until it arrives from the outbox. */
  readonly #wanted = new Map<string, { readonly reason: StartReason; isAdded: boolean }>();
  /** Timestamps of the received states, each until a later event of its group arrives. */
  readonly #covered = new Map<string, number>();
  /** Epoch of the latest event or state that the trigger has received, by group. */
  readonly #epochs = new RecentMap<string, { readonly epoch: string }>(MAX_EPOCHS);
  #isMarking = false;

  constructor(states: StateSource) {
    this.#states = states;
  }

  /** Takes a start from the outbox. */
  note(seq: number, group: GroupKey, reason: StartReason, reference: string): void {
    const key = groupKeyText(group);
    this.#pending.set(seq, { group, key, reason, reference });
    this.#waiting.set(key, seq);
    this.#wanted.delete(key);
  }

  /** The reason of the group's start that waits, covering all events so far; undefined: none. */
  waitingFor(key: string): StartReason | undefined {
    const seq = this.#waiting.get(key);
    return seq === undefined ? undefined : this.#pending.get(seq)?.reason;
  }

  /** Whether an entry is a start. */
  has(seq: number): boolean {
    return this.#pending.has(seq);
  }

  /** Forgets an entry that is done. @returns Its reference, if it was a start. */
  done(seq: number): string | undefined {
    const start = this.#pending.get(seq);
    if (start === undefined) return undefined;
    this.#pending.delete(seq);
    if (this.#waiting.get(start.key) === seq) this.#waiting.delete(start.key);
    return start.reference;
  }

  /** The job of a start whose turn has come; undefined when the entry is not a start. */
  begin(seq: number, trigger: BoundTrigger): Job | undefined {
    const start = this.#pending.get(seq);
    if (start === undefined) return undefined;
    if (this.#waiting.get(start.key) === seq) this.#waiting.delete(start.key);
    return this.#jobOf(start.group, start.reason, trigger);
  }

  /**
   * Decides about an event whose turn has come.
   *
   * @returns `event`: the trigger receives it. `covered`: a state that it has received covers it.
   *   A job: history was lost before the event, and the trigger receives the state instead.
   */
  judge(group: GroupKey, event: GroupEvent, trigger: BoundTrigger): Job | "event" | "covered" {
    const key = groupKeyText(group);
    const coveredMs = this.#covered.get(key);
    if (coveredMs !== undefined) {
      if (event.timestamp <= coveredMs) return "covered";
      this.#covered.delete(key);
    }
    if (event.kind !== "change") return "event";
    const { epoch, revision } = event.position;
    const before = this.#epochs.get(key)?.epoch ?? epoch;
    // A forgotten group begins at 1 again: nothing is missing. For a single item that is unknown.
    const isWhole = trigger.definition.config.itemId === undefined;
    if (isWhole && before !== epoch && revision > 1)
      return this.#jobOf(group, "lost_history", trigger);
    this.#epochs.set(key, { epoch });
    return "event";
  }

  /** Adds a start of a group to the outbox, in the background. */
  want(key: string, triggerId: string, reason: StartReason): void {
    if (this.#waiting.has(key) || this.#wanted.has(key)) return;
    this.#wanted.set(key, { reason, isAdded: false });
    if (!this.#isMarking) void this.#mark(triggerId);
  }

  /** Stops. Starts that are not yet in the outbox are forgotten. */
  close(): void {
    this.#stopping.abort();
  }

  #jobOf(group: GroupKey, reason: StartReason, trigger: BoundTrigger): Job {
    const states = this.#states;
    const { itemId } = trigger.definition.config;
    const received = (epoch: string, timestamp: number) => {
      const key = groupKeyText(group);
      this.#covered.set(key, timestamp);
      if (epoch !== "") this.#epochs.set(key, { epoch });
    };
    const job = {
      payload: "",
      depth: 0,
      async *parts() {
        for await (const frame of states.read(group, itemId)) {
          job.payload = syncPayload(group, itemId, frame, reason);
          yield job.payload;
          if (frame.last) received(frame.position.epoch, frame.timestamp);
        }
      },
    };
    return job;
  }

  async #mark(triggerId: string): Promise<void> {
    const { signal } = this.#stopping;
    this.#isMarking = true;
    // Starts of the same turn of the event loop are added together.
    await Promise.resolve();
    const left = () => Array.from(this.#wanted).filter(([, { isAdded }]) => !isAdded);
    for (let batch = left(); batch.length > 0 && !signal.aborted; batch = left()) {
      const marks = batch.slice(0, MARKS_AT_ONCE).map(async ([key, wanted]) => {
        await this.#states.mark(groupOfText(key), startReference(triggerId, wanted.reason));
        wanted.isAdded = true;
      });
      const results = await Promise.allSettled(marks);
      if (results.some(({ status }) => status === "rejected"))
        await sleep(RETRY_MS, signal).catch(() => {});
    }
    this.#isMarking = false;
  }
}
