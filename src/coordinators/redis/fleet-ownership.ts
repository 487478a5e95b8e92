import type { Owner, Ownership } from "../../core/coordinator.ts";
import { assignPartitions } from "./assignment.ts";
import type { FleetEntry } from "./fleet-log.ts";
import type { FleetState } from "./fleet-state.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import type { DesiredState } from "./desired-state.ts";

/** Dependencies of the ownership of a fleet. */
export interface FleetOwnershipOptions {
  readonly replica: Replica;
  readonly membership: Membership;
  readonly desired: DesiredState;
  /** Brings the fleet's state in line with the desired state. */
  readonly reconcile: () => Promise<void>;
  /** Makes the outbox refuse settlements by earlier owners. */
  readonly claim: (partition: number, fence: string) => Promise<void>;
  readonly onProblem: (error: unknown) => void;
}

/** The ownership of a fleet. */
export interface FleetOwnership extends Ownership {
  /** Whether this process owns a partition now. */
  owns(partition: number): boolean;
  /** Takes and releases partitions as the present state requires. */
  review(): void;
  /** Releases all partitions. Resolves when they have drained. */
  close(): Promise<void>;
}

interface Contention {
  readonly partitions: number;
  readonly owner: Owner;
}

/** A partition that this process has taken: `claiming` -> `owned` -> `closing`. */
interface Holding {
  readonly fence: string;
  readonly owner: Owner;
  phase: "claiming" | "owned" | "closing";
  /** Resolves when the claim has completed: a late one would undo the claim of the next owner. */
  claimed: Promise<void>;
}

/** Pause before a claim is retried, in milliseconds. */
const RETRY_MS = 100;

/**
 * Takes the partitions that are assigned to this process as soon as they are free. Drains and then
 * releases those assigned to another one. Without a lease, this process owns none.
 */
export function createFleetOwnership(options: FleetOwnershipOptions): FleetOwnership {
  const { replica, membership, desired, reconcile, claim, onProblem } = options;
  const holdings = new Map<number, Holding>();
  const closing = new Set<Promise<void>>();
  let contention: Contention | undefined;
  let assigned: ReadonlyMap<number, string> = new Map();
  let assignedFor = "";

  const assignedOf = ({ members }: FleetState, partitions: number) => {
    const contenders = Array.from(members).flatMap(([id, { contends }]) => (contends ? [id] : []));
    const key = `${partitions} ${contenders.join(" ")}`;
    if (key !== assignedFor) {
      assigned = assignPartitions(contenders, partitions);
      assignedFor = key;
    }
    return assigned;
  };
  const isWanted = (state: FleetState, partition: number) =>
    contention !== undefined &&
    assignedOf(state, contention.partitions).get(partition) === membership.id;

  /** The partitions to take and to release. */
  const moves = (state: FleetState): readonly FleetEntry[] => {
    const { id: member } = membership;
    if (!state.members.has(member)) return [];
    const entries: FleetEntry[] = [];
    for (const [partition, owner] of state.owners) {
      if (owner.member !== member || holdings.has(partition) || isWanted(state, partition))
        continue;
      entries.push({ kind: "release", member, partition });
    }
    if (contention === undefined || !membership.isCurrent()) return entries;
    for (const [partition, assignee] of assignedOf(state, contention.partitions)) {
      if (assignee === member && !state.owners.has(partition))
        entries.push({ kind: "take", member, partition });
    }
    return entries;
  };

  const drop = async (partition: number, holding: Holding) => {
    const wasOwned = holding.phase === "owned";
    holding.phase = "closing";
    try {
      if (wasOwned) await holding.owner.lost(partition);
      else await holding.claimed;
    } catch (error) {
      onProblem(error);
    } finally {
      if (holdings.get(partition) === holding) holdings.delete(partition);
      review();
    }
  };
  const close = (partition: number, holding: Holding) => {
    const work = drop(partition, holding).finally(() => closing.delete(work));
    closing.add(work);
  };
  const gain = async (partition: number, fence: string, owner: Owner) => {
    const holding: Holding = { fence, owner, phase: "claiming", claimed: Promise.resolve() };
    holdings.set(partition, holding);
    const claiming = Promise.resolve().then(() => claim(partition, fence));
    holding.claimed = claiming.catch(() => {});
    try {
      await claiming;
      // The lease may have ended since, still unnoticed.
      review();
      if (holding.phase !== "claiming") return;
      holding.phase = "owned";
      owner.gained(partition, fence);
    } catch (error) {
      onProblem(error);
      if (holding.phase === "owned") return;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      if (holding.phase === "claiming") holdings.delete(partition);
    }
    review();
  };
  const review = () => {
    const { state } = replica;
    const isCurrent = membership.isCurrent();
    for (const [partition, holding] of holdings) {
      if (holding.phase === "closing") continue;
      const isOurs = state.owners.get(partition)?.fence === holding.fence;
      if (!isCurrent || !isOurs || !isWanted(state, partition)) close(partition, holding);
    }
    if (isCurrent && contention !== undefined) {
      for (const [partition, { member, fence }] of state.owners) {
        const isOurs = member === membership.id && !holdings.has(partition);
        if (isOurs && isWanted(state, partition)) void gain(partition, fence, contention.owner);
      }
    }
    // A failed proposal is made again after the next change.
    if (moves(state).length > 0) replica.propose(moves).catch(() => {});
  };
  const unwatch = membership.watch(review);
  /** Publishes whether this process asks for partitions. The next heartbeat retries a failure. */
  const announce = () => {
    desired.contend(contention !== undefined);
    void reconcile().catch(() => {});
    review();
  };

  return {
    review,
    owns: (partition) => holdings.get(partition)?.phase === "owned",
    contend(partitions, owner) {
      if (contention !== undefined) throw new Error("This process already asks for partitions.");
      const own: Contention = { partitions, owner };
      contention = own;
      announce();
      return () => {
        if (contention !== own) return;
        contention = undefined;
        announce();
      };
    },
    async close() {
      contention = undefined;
      announce();
      while (closing.size > 0) await Promise.all(closing);
      unwatch();
    },
  };
}
