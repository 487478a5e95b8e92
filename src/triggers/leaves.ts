import type { Leases, SubscriptionLease } from "../core/coordinator.ts";
import type { Unwatch } from "../core/store.ts";
import type { BoundTrigger } from "../core/trigger.ts";
import { type DispatchContext, createLane } from "./partition-dispatcher.ts";
import type { TriggerLane } from "./trigger-lane.ts";

/** Tells `stream:leave` functions of subscriptions that have ended. */
export interface Leaves {
  /** Whether anybody wants to be told. */
  readonly isWanted: boolean;
  /**
   * A subscription has ended: its leave is told to every trigger, and its lease, if it has one, is
   * released after that. Does not wait.
   */
  tell(lease: SubscriptionLease, isLeased: boolean): void;
  /** What is under way for a trigger. */
  laneOf(triggerId: string): TriggerLane | undefined;
  /** To be called when triggers or providers came or went. */
  review(): void;
  /** Resolves when all that was told is over, or no call is under way and none can begin. */
  whenTold(): Promise<void>;
  /** Begins no more calls. Resolves when those under way are over. */
  close(): Promise<void>;
}

/** A leave that is being told. */
interface Told {
  readonly lease: SubscriptionLease;
  readonly isLeased: boolean;
  /** Triggers that have yet to be told. */
  readonly remaining: Set<string>;
}

/** Tells leaves, those included whose process is gone. */
export function createLeaves(context: DispatchContext, leases: Leases): Leaves {
  const { bindings, hasFunction, onError } = context;
  const lanes = new Map<string, TriggerLane>();
  const told = new Map<number, Told>();
  /** How many leaves each trigger has yet to be told. */
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
    const leave = told.get(seq);
    if (leave?.remaining.delete(triggerId) !== true) return;
    addPending(triggerId, -1);
    if (leave.remaining.size === 0) {
      told.delete(seq);
      if (leave.isLeased) release(leave.lease.id);
    }
    wake();
  };
  const laneFor = (trigger: BoundTrigger): TriggerLane => {
    const known = lanes.get(trigger.id);
    if (known !== undefined) return known;
    const lane = createLane(context, trigger, {
      read: async (seq) => {
        const leave = told.get(seq);
        return leave === undefined ? undefined : { payload: leave.lease.payload, depth: 0 };
      },
      onDone: (seq) => done(seq, trigger.id),
    });
    lanes.set(trigger.id, lane);
    return lane;
  };
  const tell = (lease: SubscriptionLease, isLeased: boolean) => {
    const triggers = bindings.ofType("stream:leave");
    if (triggers.length === 0) {
      if (isLeased) release(lease.id);
      return;
    }
    if (closed) return;
    const seq = ++count;
    told.set(seq, { lease, isLeased, remaining: new Set(triggers.map(({ id }) => id)) });
    for (const { id } of triggers) addPending(id, 1);
    for (const trigger of triggers) laneFor(trigger).push(seq, lease.id);
  };
  const unwatch: Unwatch = leases.onOrphan((lease) => tell(lease, true));

  return {
    get isWanted() {
      return bindings.ofType("stream:leave").length > 0;
    },
    tell,
    laneOf: (id) => lanes.get(id),
    review() {
      for (const [id, lane] of lanes) {
        if (bindings.get(id) !== undefined) lane.pump();
        else {
          lanes.delete(id);
          lane.abandon();
        }
      }
      wake();
    },
    async whenTold() {
      if (!isOver()) await new Promise<void>((resolve) => waiters.add(resolve));
    },
    async close() {
      closed = true;
      unwatch();
      for (const lane of lanes.values()) lane.close();
      await Promise.all(Array.from(lanes.values(), (lane) => lane.whenIdle()));
      for (const resolve of waiters) resolve();
    },
  };
}

/** The functions that a trigger needs. */
function functionsOf({ definition }: BoundTrigger): string[] {
  const { functionId, config } = definition;
  return [functionId, config.conditionFunctionId].filter((id) => id !== undefined);
}
