import type { Call } from "../core/function-call.ts";
import { groupKeyText } from "../core/names.ts";
import type { Outbox, OutboxHead } from "../core/outbox.ts";
import type { Unwatch } from "../core/watchers.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { MAX_DEPTH } from "../functions/cause.ts";
import type { Bindings } from "./bindings.ts";
import { deliver } from "./delivery.ts";
import { eventPayload } from "./payloads.ts";
import { Settler } from "./settler.ts";
import { type Job, type Loss, TriggerQueue } from "./trigger-queue.ts";

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
      if (this.#context.bindings.get(id) !== undefined) queue.pump();
      else {
        this.#queues.delete(id);
        queue.abandon();
      }
    }
  }

  /** Starts no more calls. Resolves when the calls in progress have ended and are settled. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unwatch();
    for (const queue of this.#queues.values()) queue.close();
    await Promise.all(Array.from(this.#queues.values(), (queue) => queue.whenIdle()));
    await this.#settler.close();
  }

  /** Queues the existing entries, oldest first, then those that arrived meanwhile. */
  async #scan(): Promise<void> {
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
    this.#isCaughtUp = true;
    this.#takeIncoming();
  }

  #takeIncoming(): void {
    const heads = this.#incoming;
    this.#incoming = [];
    for (const head of heads) this.#take(head);
  }

  #take({ seq, group, triggers, depth }: OutboxHead): void {
    if (seq <= this.#last || this.#closed) return;
    this.#last = seq;
    this.#settler.expect(seq, triggers.length);
    // All triggers were settled one by one before a crash: only the entry is left.
    if (triggers.length === 0) {
      this.#settler.expect(seq, 1);
      return this.#settler.done(seq, "");
    }
    const key = groupKeyText(group);
    for (const id of triggers) {
      const queue = this.#queue(id);
      // The trigger ended after the commit.
      if (queue === undefined) this.#settler.done(seq, id);
      else if (depth >= MAX_DEPTH) queue.refuse(seq);
      else queue.push(seq, key);
    }
  }

  #queue(id: string): TriggerQueue | undefined {
    const known = this.#queues.get(id);
    if (known !== undefined) return known;
    const trigger = this.#context.bindings.get(id);
    if (trigger === undefined) return undefined;
    const queue = createTriggerQueue(this.#context, trigger, {
      read: (seq) => this.#read(seq),
      onDone: (seq) => this.#settler.done(seq, id),
    });
    this.#queues.set(id, queue);
    return queue;
  }

  async #read(seq: number): Promise<Job | undefined> {
    const { outbox, partition } = this.#owned;
    const entry = await outbox.read(partition, seq);
    if (entry === undefined) return undefined;
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
  const { functionId, config } = trigger.definition;
  const needed = [functionId, config.conditionFunctionId].filter((id) => id !== undefined);
  return new TriggerQueue({
    ...source,
    ...limits,
    trigger,
    deliver: ({ payload, depth }) => deliver(call, trigger, payload, depth),
    isServed: () => needed.every(hasFunction),
    onLost: (job, loss) => onLost(trigger, job, loss),
    random,
  });
}
