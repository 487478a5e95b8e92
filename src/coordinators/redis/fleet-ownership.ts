import type { Owner, Ownership } from "../../core/coordinator.ts";
import { assignPartitions } from "./assignment.ts";
import type { FleetEntry } from "./fleet-log.ts";
import type { FleetState } from "./fleet-state.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import type { Wishes } from "./wishes.ts";

/** What the ownership of a fleet works with. */
export interface FleetOwnershipOptions {
  readonly replica: Replica;
  readonly membership: Membership;
  readonly wishes: Wishes;
  /** Has the fleet agree to the wishes. */
  readonly reconcile: () => Promise<void>;
  /** Has the outbox refuse what earlier owners settle. */
  readonly claim: (partition: number, fence: string) => Promise<void>;
  readonly onProblem: (error: unknown) => void;
}

/** The ownership of a fleet. */
export interface FleetOwnership extends Ownership {
  /** Looks whether there is something to gain, or to give up. */
  review(): void;
  /** Gives up all. Resolves when what was under way for it is over. */
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
  /** Resolves when the claim was answered: one that came late would undo that of the next owner. */
  claimed: Promise<void>;
}

/** Pause before a claim is made again, in milliseconds. */
const RETRY_MS = 100;

/**
 * Takes the partitions that are for this process as soon as they are free, and gives them up when they
 * are for another one: once what was under way for them is over. Without a lease it has none.
 */
export function createFleetOwnership(options: FleetOwnershipOptions): FleetOwnership {
  const { replica, membership, wishes, reconcile, claim, onProblem } = options;
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

  /** What is to be taken and released. */
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
      // The lease may have ended since, and nobody may have noticed yet.
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
    // What cannot be agreed on now is looked at again with the next change.
    if (moves(state).length > 0) replica.propose(moves).catch(() => {});
  };
  const unwatch = membership.watch(review);
  /** Tells the fleet whether this process asks for partitions. The next heartbeat tries again. */
  const tell = () => {
    wishes.contend(contention !== undefined);
    void reconcile().catch(() => {});
    review();
  };

  return {
    review,
    contend(partitions, owner) {
      if (contention !== undefined) throw new Error("This process asks for partitions already.");
      const own: Contention = { partitions, owner };
      contention = own;
      tell();
      return () => {
        if (contention !== own) return;
        contention = undefined;
        tell();
      };
    },
    async close() {
      contention = undefined;
      tell();
      while (closing.size > 0) await Promise.all(closing);
      unwatch();
    },
  };
}
