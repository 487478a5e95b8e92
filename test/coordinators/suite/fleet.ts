import { afterEach } from "vitest";
import type {
  Coordinator,
  Leases,
  Orders,
  Ownership,
  Registry,
  SubscriptionLease,
} from "../../../src/core/coordinator.ts";
import type { TriggerDefinition } from "../../../src/core/trigger.ts";

/** Options of a test's fleet. */
export interface FleetRequest {
  /** How long a trigger outlives its last registrant, in milliseconds. */
  readonly reattachMs: number;
}

/** A fleet under test. It has no process until the first one joins. */
export interface Fleet {
  /**
   * Adds a process, or restarts one. In a fleet of one process, the earlier one must have closed.
   */
  join(): Promise<Coordinator>;
  /** Whether its state survives the last process. */
  readonly survives: boolean;
  /** Most processes at once. */
  readonly processes: 1 | 2;
  /** Closes all processes and removes their data. */
  dispose(): Promise<void>;
}

/** Creates a new fleet. */
export type OpenFleet = (request: FleetRequest) => Fleet;

/** Short enough to wait for, long enough for a test to act meanwhile. */
export const REATTACH = 60;

/** Longer than any test takes. */
const NEVER = 3_600_000;

/** Opens fleets for the tests of a describe block, and disposes of them after each. */
export function fleetsOf(open: OpenFleet): (reattachMs?: number) => Fleet {
  let fleets: Fleet[] = [];
  afterEach(async () => {
    const used = fleets;
    fleets = [];
    await Promise.all(used.map((fleet) => fleet.dispose()));
  });
  return (reattachMs = NEVER) => {
    const fleet = open({ reattachMs });
    fleets.push(fleet);
    return fleet;
  };
}

/** A trigger for a function. */
export function triggerFor(
  functionId: string,
  rest: Partial<TriggerDefinition> = {},
): TriggerDefinition {
  return {
    type: "stream",
    functionId,
    config: { streamName: "orders" },
    metadata: undefined,
    ...rest,
  };
}

/** A gate by a function. */
export function gateBy(functionId: string): TriggerDefinition {
  return { type: "stream:join", functionId, config: { gate: true }, metadata: undefined };
}

/** A write gate by a function. */
export function writeGateBy(functionId: string): TriggerDefinition {
  return { ...triggerFor(functionId), type: "stream:write" };
}

/** Ids of all triggers in force, sorted. */
export function idsOf(registry: Registry): readonly string[] {
  return registry
    .triggers()
    .map(({ id }) => id)
    .sort();
}

/** Resolves when the condition holds, now or after a change of the registry. */
export function until(registry: Registry, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    if (holds()) return resolve();
    const stop = registry.watch(() => {
      if (!holds()) return;
      stop();
      resolve();
    });
  });
}

/** Resolves when a trigger has ended. */
export function untilEnded(registry: Registry, id: string): Promise<void> {
  return until(registry, () => !idsOf(registry).includes(id));
}

/**
 * Resolves when the reattach time of every trigger that was lost before the call has passed: a
 * trigger that is lost now has ended.
 */
export async function reattachTimePasses(registry: Registry): Promise<void> {
  const { id } = await registry.bind(triggerFor("a-clock"));
  await registry.unbind(id, "lost");
  await untilEnded(registry, id);
}

/** The partitions that a process owns, and a way to wait for changes. */
export interface Contender {
  /** Partition -> fence. */
  readonly owned: ReadonlyMap<number, string>;
  /** All partitions gained, in order. */
  readonly gained: readonly number[];
  /** Resolves when the condition holds. */
  until(holds: (owned: ReadonlyMap<number, string>) => boolean): Promise<void>;
  stop(): void;
}

/** Contends for partitions. */
export function contend(ownership: Ownership, partitions: number): Contender {
  const owned = new Map<number, string>();
  const gained: number[] = [];
  const waiters = new Set<() => void>();
  const review = () => {
    for (const waiter of Array.from(waiters)) waiter();
  };
  const stop = ownership.contend(partitions, {
    gained(partition, fence) {
      gained.push(partition);
      owned.set(partition, fence);
      review();
    },
    lost(partition) {
      owned.delete(partition);
      review();
    },
  });
  return {
    owned,
    gained,
    stop,
    until: (holds) =>
      new Promise((resolve) => {
        const waiter = () => {
          if (!holds(owned)) return;
          waiters.delete(waiter);
          resolve();
        };
        waiters.add(waiter);
        waiter();
      }),
  };
}

/** Collects orphans, and lets a test wait for a number of them. */
export function collectOrphans(leases: Leases) {
  const found: SubscriptionLease[] = [];
  let waiter: { readonly count: number; readonly resolve: () => void } | undefined;
  const stop = leases.onOrphan((lease) => {
    found.push(lease);
    if (waiter !== undefined && found.length >= waiter.count) waiter.resolve();
  });
  return {
    stop,
    /** Distinct ids, sorted: an orphan may be delivered again until it is released. */
    ids: () => Array.from(new Set(found.map(({ id }) => id))).sort(),
    payloadOf: (id: string) => found.find((lease) => lease.id === id)?.payload,
    until: (count: number) =>
      new Promise<void>((resolve) => {
        if (found.length >= count) resolve();
        else waiter = { count, resolve };
      }),
  };
}

/** Carries out orders with results that begin with a name. @returns the orders so far. */
export function obey(orders: Orders, name: string): readonly string[] {
  const seen: string[] = [];
  orders.serve(async (order) => {
    seen.push(order);
    return `${name} ${order}`;
  });
  return seen;
}
