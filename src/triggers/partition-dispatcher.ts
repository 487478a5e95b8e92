import type { Call } from "../core/function-call.ts";
import { groupKeyText } from "../core/names.ts";
import type { Outbox, OutboxHead } from "../core/outbox.ts";
import type { Unwatch } from "../core/watchers.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { MAX_DEPTH } from "../functions/cause.ts";
import type { Bindings } from "./bindings.ts";
import { deliverJob } from "./delivery.ts";
import type { StateSource } from "./state-source.ts";
import { eventPayload } from "./payloads.ts";
import { Settler } from "./settler.ts";
import { readReference } from "./start-reference.ts";
import { Starts } from "./starts.ts";
import type { Job, Loss } from "./job.ts";
import { TriggerQueue } from "./trigger-queue.ts";

/** Limits of triggers. Each has a default. */
export interface TriggerLimits {
  /** Most concurrent calls of one trigger, over all groups. */
  readonly maxConcurrent: number;
  /** Most events that wait for one trigger; beyond it the oldest are dropped. */
  readonly maxBacklog: number;
}

/** Default limits. */
export const DEFAULT_TRIGGER_LIMITS: TriggerLimits = { maxConcurrent: 64, maxBacklog: 100_000 };

/** Dependencies of code that calls trigger functions. */
export interface DispatchContext {
  readonly bindings: Bindings;
  readonly call: Call;
  /** Whether a function has a provider. */
  readonly hasFunction: (functionId: string) => boolean;
  readonly limits: TriggerLimits;
  /** Records a job that a trigger gave up on. Resolves when it is recorded. Never rejects. */
  readonly onLost: (trigger: BoundTrigger, job: Job | undefined, loss: Loss) => Promise<void>;
  /** Reports failures that belong to no call. */
  readonly onError: (error: unknown) => void;
  readonly random: () => number;
  /** Wall clock, in Unix milliseconds. */
  readonly clock: () => number;
  /** The states of groups, for triggers with `start`. */
  readonly states: StateSource;
  /** Starts over those of the triggers that were started before a loss of history. */
  readonly startOverLost: (triggers: readonly BoundTrigger[]) => Promise<void>;
}

/** An owned partition, and the proof of ownership. */
export interface OwnedPartition {
  readonly outbox: Outbox;
  readonly partition: number;
  readonly fence: string;
}

const SCAN_PAGE = 1000;
const RESCAN_MS = 1000;

/**
 * Calls the triggers of one partition of the outbox while this process owns it: first for existing
 * entries, then for new ones. Each trigger has its own queue, so that none waits for another.
 */
export class PartitionDispatcher {
  readonly #context: DispatchContext;
  readonly #owned: OwnedPartition;
  readonly #queues = new Map<string, TriggerQueue>();
  /** Of the triggers with `start`. */
  readonly #starts = new Map<string, Starts>();
  readonly #settler: Settler;
  readonly #unwatch: Unwatch;
  /** New entries that are not queued yet. */
  #incoming: OutboxHead[] = [];
  /** Whether the existing entries are queued. */
  #isCaughtUp = false;
  #last = 0;
  #closed = false;

  constructor(context: DispatchContext, owned: OwnedPartition) {
    const { outbox, partition } = owned;
    this.#context = context;
    this.#owned = owned;
    this.#settler = new Settler({ ...owned, onError: context.onError });
    this.#unwatch = outbox.watch(partition, (heads) => {
      // Deferred: the responses to the writes go out first.
      if (this.#incoming.length === 0 && this.#isCaughtUp) setImmediate(() => this.#takeIncoming());
      for (const head of heads) this.#incoming.push(head);
    });
    void this.#scan();
  }

  /** Number of unsettled entries. */
  get size(): number {
    return this.#settler.size;
  }

  /** The queues, by trigger. */
  get queues(): ReadonlyMap<string, TriggerQueue> {
    return this.#queues;
  }

  /** To be called when triggers or providers change. */
  review(): void {
    for (const [id, queue] of this.#queues) {
      const trigger = this.#context.bindings.get(id);
      if (trigger === undefined) {
        this.#queues.delete(id);
        this.#starts.get(id)?.close();
        queue.abandon();
        this.#starts.delete(id);
        continue;
      }
      queue.rebind(trigger);
      if (trigger.definition.isStarting === true) queue.shut();
      else if (queue.isShut && this.#isCaughtUp) void this.#openCaughtUp(queue);
      else queue.pump();
    }
  }

  /** Drops, or replaces by a start, what has waited for a provider longer than `max_away`. */
  async dropLate(nowMs: number): Promise<void> {
    for (const [id, queue] of this.#queues) {
      const { maxAwayMs } = queue.trigger.definition.config;
      if (maxAwayMs === undefined) continue;
      const starts = this.#starts.get(id);
      while (!queue.isServed && !this.#closed) {
        const oldest = queue.oldest((seq) => starts?.has(seq) === true);
        const timestamp = oldest === undefined ? undefined : await this.#timestampOf(oldest);
        if (timestamp === undefined || timestamp > nowMs - maxAwayMs) break;
        if (starts === undefined) await queue.dropLate();
        else {
          for (const key of queue.waitingKeys()) starts.want(key, id, "max_away");
          break;
        }
      }
    }
  }

  /** Timestamps of the oldest waiting event of a trigger; undefined: none waits. */
  async oldestOf(triggerId: string): Promise<number | undefined> {
    const oldest = this.#queues.get(triggerId)?.oldest();
    return oldest === undefined ? undefined : this.#timestampOf(oldest);
  }

  async #timestampOf(seq: number): Promise<number | undefined> {
    const { outbox, partition } = this.#owned;
    return (await outbox.read(partition, seq))?.event.timestamp;
  }

  /** Starts no more calls. Resolves when the calls in progress have ended and are settled. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unwatch();
    for (const starts of this.#starts.values()) starts.close();
    for (const queue of this.#queues.values()) queue.close();
    await Promise.all(Array.from(this.#queues.values(), (queue) => queue.whenIdle()));
    await this.#settler.close();
  }

  /** Queues the existing entries, oldest first, then those that arrived meanwhile. */
  async #scan(): Promise<void> {
    await this.#catchUp();
    this.#isCaughtUp = true;
    this.#takeIncoming();
    this.review();
  }

  /** Queues the entries that are in the outbox now. */
  async #catchUp(): Promise<void> {
    const { outbox, partition } = this.#owned;
    while (!this.#closed) {
      try {
        const heads = await outbox.scan(partition, this.#last, SCAN_PAGE);
        for (const head of heads) this.#take(head);
        if (heads.length < SCAN_PAGE) break;
      } catch (error) {
        this.#context.onError(error);
        await new Promise((resolve) => setTimeout(resolve, RESCAN_MS).unref());
      }
    }
  }

  /**
   * Opens the queue of a trigger whose starts are all in the outbox, when they are queued too: none
   * of its functions is called with an event before the state.
   */
  async #openCaughtUp(queue: TriggerQueue): Promise<void> {
    await this.#catchUp();
    if (queue.trigger.definition.isStarting !== true) queue.open();
  }

  #takeIncoming(): void {
    const heads = this.#incoming;
    this.#incoming = [];
    for (const head of heads) this.#take(head);
  }

  #take(head: OutboxHead): void {
    const { seq, group, triggers, depth } = head;
    if (seq <= this.#last || this.#closed) return;
    this.#last = seq;
    this.#settler.expect(seq, triggers.length);
    // All triggers were settled one by one before a crash: only the entry is left.
    if (triggers.length === 0) {
      this.#settler.expect(seq, 1);
      return this.#settler.done(seq, "");
    }
    const key = groupKeyText(group);
    for (const reference of triggers) {
      const { triggerId: id, start } = readReference(reference);
      const queue = this.#queue(id);
      const starts = this.#startsOf(queue);
      // The trigger ended after the commit.
      if (queue === undefined) this.#settler.done(seq, reference);
      else if (start !== undefined) {
        // It no longer has a start.
        if (starts === undefined) this.#settler.done(seq, reference);
        else {
          const covered = queue.collapse(key);
          for (const each of covered) this.#done(each, id);
          if (start !== "registered") queue.tally.dropped += covered.length;
          starts.note(seq, group, start, reference);
          queue.push(seq, key);
        }
      } else if (starts?.waitingFor(key) !== undefined) {
        if (starts.waitingFor(key) !== "registered") queue.tally.dropped++;
        this.#settler.done(seq, id);
      } else if (depth >= MAX_DEPTH) queue.refuse(seq);
      else {
        queue.push(seq, key);
        // Only where this makes room: a single event takes no more of it than a start.
        if (starts !== undefined && queue.isOverfull && queue.waitingOf(key) > 1)
          starts.want(key, id, "overflow");
      }
    }
  }

  /** An entry is done for a trigger. */
  #done(seq: number, id: string): void {
    this.#settler.done(seq, this.#starts.get(id)?.done(seq) ?? id);
  }

  /** The starts of a trigger with `start`. */
  #startsOf(queue: TriggerQueue | undefined): Starts | undefined {
    if (queue?.trigger.definition.config.start === undefined) return undefined;
    const { id } = queue.trigger;
    const starts = this.#starts.get(id) ?? new Starts(this.#context.states);
    this.#starts.set(id, starts);
    return starts;
  }

  #queue(id: string): TriggerQueue | undefined {
    const known = this.#queues.get(id);
    if (known !== undefined) return known;
    const trigger = this.#context.bindings.get(id);
    if (trigger === undefined) return undefined;
    const queue = createTriggerQueue(this.#context, trigger, {
      read: (seq) => this.#read(seq, queue),
      onDone: (seq) => this.#done(seq, id),
    });
    this.#queues.set(id, queue);
    const { config, isStarting } = trigger.definition;
    if (config.start !== undefined && (isStarting === true || !this.#isCaughtUp)) queue.shut();
    return queue;
  }

  async #read(seq: number, queue: TriggerQueue): Promise<Job | undefined> {
    const { outbox, partition } = this.#owned;
    const starts = this.#startsOf(queue);
    const start = starts?.begin(seq, queue.trigger);
    if (start !== undefined) return start;
    // A start from before the trigger was registered again, without one.
    if (this.#starts.get(queue.trigger.id)?.has(seq) === true) return undefined;
    const entry = await outbox.read(partition, seq);
    if (entry === undefined) return undefined;
    const judged = starts?.judge(entry.group, entry.event, queue.trigger) ?? "event";
    if (judged === "covered") return undefined;
    if (judged !== "event") return judged;
    return { payload: eventPayload(entry.group, entry.event), depth: entry.depth };
  }
}

/** Creates the queue of a trigger, over jobs that `source` keeps. */
export function createTriggerQueue(
  { call, hasFunction, limits, onLost, random }: DispatchContext,
  trigger: BoundTrigger,
  source: {
    readonly read: (seq: number) => Promise<Job | undefined>;
    readonly onDone: (seq: number) => void;
  },
): TriggerQueue {
  return new TriggerQueue({
    ...source,
    ...limits,
    trigger,
    deliver: (bound, job) => deliverJob(call, bound, job),
    isServed: ({ definition: { functionId, config } }) =>
      hasFunction(functionId) &&
      (config.conditionFunctionId === undefined || hasFunction(config.conditionFunctionId)),
    onLost,
    random,
  });
}
