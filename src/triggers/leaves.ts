import type { Leases, SubscriptionLease } from "../core/coordinator.ts";
import type { Unwatch } from "../core/watchers.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { type DispatchContext, createTriggerQueue } from "./partition-dispatcher.ts";
import type { TriggerQueue } from "./trigger-queue.ts";

/** Calls `stream:leave` functions for subscriptions that have ended. */
export interface Leaves {
  /** Whether any leave trigger is in force. */
  readonly isWanted: boolean;
  /**
   * Queues the leave of an ended subscription for every trigger. Its lease, if it has one, is
   * released when all of them are done.
   */
  deliver(lease: SubscriptionLease, isLeased: boolean): void;
  /** The queue of a trigger. */
  queueOf(triggerId: string): TriggerQueue | undefined;
  /** To be called when triggers or providers change. */
  review(): void;
  /** Resolves when all queued leaves are done, or those left have no provider. */
  whenDelivered(): Promise<void>;
  /** Starts no more calls. Resolves when the calls in progress have ended. */
  close(): Promise<void>;
}

/** A leave in delivery. */
interface PendingLeave {
  readonly lease: SubscriptionLease;
  readonly isLeased: boolean;
  /** Triggers that are not done with it. */
  readonly remaining: Set<string>;
}

/** Delivers leaves, including those of processes that are gone. */
export function createLeaves(context: DispatchContext, leases: Leases): Leaves {
  const { bindings, hasFunction, onError } = context;
  const queues = new Map<string, TriggerQueue>();
  const inDelivery = new Map<number, PendingLeave>();
  /** Number of leaves that each trigger has yet to be called with. */
  const pending = new Map<string, number>();
  const waiters = new Set<() => void>();
  let count = 0;
  let closed = false;

  const release = (id: string) => void leases.release(id).catch(onError);
  const addPending = (triggerId: string, by: number) => {
    const left = (pending.get(triggerId) ?? 0) + by;
    if (left > 0) pending.set(triggerId, left);
    else pending.delete(triggerId);
  };
  /** Whether the trigger is in force, and its functions have a provider. */
  const isServed = (triggerId: string) => {
    const trigger = bindings.get(triggerId);
    return trigger !== undefined && functionsOf(trigger).every(hasFunction);
  };
  const isOver = () => !Array.from(pending.keys()).some(isServed);
  const wake = () => {
    if (waiters.size === 0 || !isOver()) return;
    for (const resolve of waiters) resolve();
    waiters.clear();
  };
  const done = (seq: number, triggerId: string) => {
    const leave = inDelivery.get(seq);
    if (leave?.remaining.delete(triggerId) !== true) return;
    addPending(triggerId, -1);
    if (leave.remaining.size === 0) {
      inDelivery.delete(seq);
      if (leave.isLeased) release(leave.lease.id);
    }
    wake();
  };
  const queueFor = (trigger: BoundTrigger): TriggerQueue => {
    const known = queues.get(trigger.id);
    if (known !== undefined) return known;
    const queue = createTriggerQueue(context, trigger, {
      read: async (seq) => {
        const leave = inDelivery.get(seq);
        return leave === undefined ? undefined : { payload: leave.lease.payload, depth: 0 };
      },
      onDone: (seq) => done(seq, trigger.id),
    });
    queues.set(trigger.id, queue);
    return queue;
  };
  const deliver = (lease: SubscriptionLease, isLeased: boolean) => {
    const triggers = bindings.ofType("stream:leave");
    if (triggers.length === 0) {
      if (isLeased) release(lease.id);
      return;
    }
    if (closed) return;
    const seq = ++count;
    inDelivery.set(seq, { lease, isLeased, remaining: new Set(triggers.map(({ id }) => id)) });
    for (const { id } of triggers) addPending(id, 1);
    for (const trigger of triggers) queueFor(trigger).push(seq, lease.id);
  };
  const unwatch: Unwatch = leases.onOrphan((lease) => deliver(lease, true));

  return {
    get isWanted() {
      return bindings.ofType("stream:leave").length > 0;
    },
    deliver,
    queueOf: (id) => queues.get(id),
    review() {
      for (const [id, queue] of queues) {
        if (bindings.get(id) !== undefined) queue.pump();
        else {
          queues.delete(id);
          queue.abandon();
        }
      }
      wake();
    },
    async whenDelivered() {
      if (!isOver()) await new Promise<void>((resolve) => waiters.add(resolve));
    },
    async close() {
      closed = true;
      unwatch();
      for (const queue of queues.values()) queue.close();
      await Promise.all(Array.from(queues.values(), (queue) => queue.whenIdle()));
      for (const resolve of waiters) resolve();
    },
  };
}

/** The functions that a trigger needs. */
function functionsOf({ definition }: BoundTrigger): string[] {
  const { functionId, config } = definition;
  return [functionId, config.conditionFunctionId].filter((id) => id !== undefined);
}
