import type { Leases, SubscriptionLease } from "../../core/coordinator.ts";
import type { FleetCommands } from "./fleet-commands.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";

/** Dependencies of the leases of a fleet. */
export interface FleetLeasesOptions {
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly membership: Membership;
  readonly onProblem: (error: unknown) => void;
}

/** The subscriptions that the processes of a fleet hold. */
export interface FleetLeases extends Omit<Leases, "detach"> {
  /** Keeps a subscription that is recorded for this process already. */
  keep(lease: SubscriptionLease): void;
  /** Whether a subscription is recorded for this process. */
  has(id: string): boolean;
  /** Adopts the subscriptions of those holders that are no members any more. */
  noteHolders(holders: readonly string[]): void;
  /** Resolves when all releases are stored, so that no member delivers those leaves again. */
  whenReleased(): Promise<void>;
  /** Stops adopting. */
  close(): void;
}

/**
 * Records the open subscriptions of this process in Redis under its member id, and adopts those of
 * members that are gone.
 */
export function createFleetLeases(options: FleetLeasesOptions): FleetLeases {
  const { commands, replica, membership, onProblem } = options;
  /** All subscriptions recorded for this process, orphans included. */
  const held = new Map<string, string>();
  /** Adopted subscriptions that are not released yet. */
  const orphans = new Map<string, SubscriptionLease>();
  /** Released subscriptions that may still be recorded. */
  const released = new Set<string>();
  const listeners = new Set<{ readonly notify: (lease: SubscriptionLease) => void }>();
  const adopting = new Set<string>();
  let members: ReadonlyMap<string, unknown> = new Map();
  /** Lineage and member id under which all of `held` was last recorded. */
  let recordedAs = "";
  let recording: Promise<void> | undefined;
  /** Whether an adoption may have succeeded although its reply was lost. */
  let isInDoubt = false;
  let closed = false;

  const notifyAll = (lease: SubscriptionLease) => {
    for (const entry of Array.from(listeners)) if (listeners.has(entry)) entry.notify(lease);
  };
  const takeOver = (adopted: readonly (readonly [id: string, payload: string])[]) => {
    for (const [id, payload] of adopted) {
      // A subscription that this process held under an earlier member id is no orphan.
      if (held.has(id) || released.has(id)) continue;
      const lease = { id, payload };
      held.set(id, payload);
      orphans.set(id, lease);
      notifyAll(lease);
    }
  };
  const resolveDoubt = async () => {
    isInDoubt = false;
    try {
      takeOver(await commands.heldBy(membership.id));
    } catch {
      isInDoubt = true;
    }
  };
  const adopt = async (gone: string) => {
    if (adopting.has(gone) || closed) return;
    adopting.add(gone);
    try {
      for (;;) {
        const adopted = await commands.adopt(gone, membership.id);
        if (adopted.length === 0 || closed) return;
        takeOver(adopted);
      }
    } catch (error) {
      // The next heartbeat lists the holder again, unless the adoption succeeded.
      isInDoubt = true;
      onProblem(error);
    } finally {
      adopting.delete(gone);
    }
  };
  const currentName = () => `${replica.position.lineage} ${membership.id}`;
  /** Records all again after this process joined anew, or Redis lost its data. */
  const recordAll = async () => {
    const name = currentName();
    const { id } = membership;
    try {
      if (!(await commands.hold(id, held))) return;
      await commands.release(id, released);
      recordedAs = name;
    } catch (error) {
      onProblem(error);
    } finally {
      recording = undefined;
    }
  };
  const review = () => {
    const { state } = replica;
    if (closed) return;
    if (state.members.has(membership.id)) {
      for (const member of members.keys()) if (!state.members.has(member)) void adopt(member);
      members = state.members;
    }
    if (recordedAs === "") recordedAs = currentName();
    else if (recordedAs !== currentName() && state.members.has(membership.id))
      recording ??= recordAll();
  };
  membership.watch(review);
  const forget = async (ids: readonly string[]) => {
    const { id: member } = membership;
    await commands.release(member, ids);
    // Under a new member id it may have been recorded anew.
    if (member === membership.id && recordedAs === currentName())
      for (const id of ids) released.delete(id);
  };

  return {
    async hold({ id, payload }) {
      held.set(id, payload);
      released.delete(id);
      try {
        // Retries until this process is a member, and again when its member id has changed.
        while (held.has(id)) {
          const member = membership.id;
          const isRecorded = await commands.hold(member, [[id, payload]]);
          if (!isRecorded) await membership.ready();
          else if (member === membership.id) return;
        }
      } catch (error) {
        held.delete(id);
        released.add(id);
        throw error;
      }
    },
    keep: ({ id, payload }) => void held.set(id, payload),
    has: (id) => held.has(id),
    async release(id) {
      held.delete(id);
      orphans.delete(id);
      released.add(id);
      await forget([id]);
    },
    onOrphan(notify) {
      const entry = { notify };
      listeners.add(entry);
      for (const lease of Array.from(orphans.values())) if (listeners.has(entry)) notify(lease);
      return () => void listeners.delete(entry);
    },
    noteHolders(holders) {
      const { state } = replica;
      if (!state.members.has(membership.id)) return;
      for (const member of holders) {
        if (!state.members.has(member) && member !== membership.id) void adopt(member);
      }
      review();
      if (isInDoubt) void resolveDoubt();
      if (released.size > 0) void forget(Array.from(released)).catch(onProblem);
    },
    async whenReleased() {
      if (released.size > 0) await forget(Array.from(released));
    },
    close() {
      closed = true;
      listeners.clear();
    },
  };
}
