import { afterEach } from "vitest";
import type {
  Coordinator,
  Leases,
  Ownership,
  Registry,
  SubscriptionLease,
} from "../../../src/core/coordinator.ts";
import type { TriggerDefinition } from "../../../src/core/trigger.ts";

/** What a test asks of the fleet it gets. */
export interface FleetRequest {
  /** How long a trigger outlives those who registered it, in milliseconds. */
  readonly reattachMs: number;
}

/** The processes that share one coordination. Nothing happens before the first one joins. */
export interface Fleet {
  /**
   * Another process of the fleet, or one of before that comes back. Where a fleet is one process, the
   * one before must have closed.
   */
  join(): Promise<Coordinator>;
  /** Whether what was noted is there again for whoever joins after the last process has closed. */
  readonly survives: boolean;
  /** How many processes there may be at once. */
  readonly processes: 1 | 2;
  /** Closes what is open and removes what it left. */
  dispose(): Promise<void>;
}

/** Makes a fleet of which nobody has heard before. */
export type OpenFleet = (request: FleetRequest) => Fleet;

/** Short enough to wait for, long enough to do something else meanwhile. */
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

/** Ids of all triggers in force, sorted. */
export function idsOf(registry: Registry): readonly string[] {
  return registry
    .triggers()
    .map(({ id }) => id)
    .sort();
}

/** Resolves when the registry says so: now, or after one of its changes. */
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
 * Resolves when so much time has passed that a trigger would have ended that was lost before the call:
 * one that is lost now has.
 */
export async function reattachTimePasses(registry: Registry): Promise<void> {
  const { id } = await registry.bind(triggerFor("a-clock"));
  await registry.unbind(id, "lost");
  await untilEnded(registry, id);
}

/** What somebody owns, and lets a test wait for it. */
export interface Contender {
  /** Partition -> fence. */
  readonly owned: ReadonlyMap<number, string>;
  /** All that was gained, in order. */
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

/** Hears of orphans, and lets a test wait for so many of them. */
export function hearOrphans(leases: Leases) {
  const heard: SubscriptionLease[] = [];
  let waiter: { readonly count: number; readonly resolve: () => void } | undefined;
  const stop = leases.onOrphan((lease) => {
    heard.push(lease);
    if (waiter !== undefined && heard.length >= waiter.count) waiter.resolve();
  });
  return {
    stop,
    /** Ids of those heard, each once and sorted: they may be heard again until they are released. */
    ids: () => Array.from(new Set(heard.map(({ id }) => id))).sort(),
    payloadOf: (id: string) => heard.find((lease) => lease.id === id)?.payload,
    until: (count: number) =>
      new Promise<void>((resolve) => {
        if (heard.length >= count) resolve();
        else waiter = { count, resolve };
      }),
  };
}
