import type { Leases, SubscriptionLease } from "../../core/coordinator.ts";
import type { FleetCommands } from "./fleet-commands.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";

/** What the leases of a fleet work with. */
export interface FleetLeasesOptions {
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly membership: Membership;
  readonly onProblem: (error: unknown) => void;
}

/** The subscriptions that the processes of a fleet hold. */
export interface FleetLeases extends Leases {
  /** Hears which members hold subscriptions: this process takes over those of members that are gone. */
  noteHolders(holders: readonly string[]): void;
  /** Resolves when what was released is noted no more: nobody tells its leave again. */
  whenReleased(): Promise<void>;
  /** Takes over no more. */
  close(): void;
}

/**
 * Notes in Redis what is open here, under the name of the member that this process is, and takes over
 * what members that are gone have left.
 */
export function createFleetLeases(options: FleetLeasesOptions): FleetLeases {
  const { commands, replica, membership, onProblem } = options;
  /** All that is noted for this process, orphans included. */
  const held = new Map<string, string>();
  /** What was taken over, and not released yet. */
  const orphans = new Map<string, SubscriptionLease>();
  /** What was released, and may still be noted. */
  const released = new Set<string>();
  const listeners = new Set<{ readonly hear: (lease: SubscriptionLease) => void }>();
  const adopting = new Set<string>();
  let members: ReadonlyMap<string, unknown> = new Map();
  /** As which member, and of which lineage, all that is held was last noted. */
  let notedAs = "";
  let noting: Promise<void> | undefined;
  /** Whether something may have been taken over without an answer. */
  let isInDoubt = false;
  let closed = false;

  const hearOf = (lease: SubscriptionLease) => {
    for (const entry of Array.from(listeners)) if (listeners.has(entry)) entry.hear(lease);
  };
  const takeOver = (adopted: readonly (readonly [id: string, payload: string])[]) => {
    for (const [id, payload] of adopted) {
      // What this process held itself under another name is no orphan.
      if (held.has(id) || released.has(id)) continue;
      const lease = { id, payload };
      held.set(id, payload);
      orphans.set(id, lease);
      hearOf(lease);
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
      // The next heartbeat tells of it again, unless it is this process's by now.
      isInDoubt = true;
      onProblem(error);
    } finally {
      adopting.delete(gone);
    }
  };
  const currentName = () => `${replica.position.lineage} ${membership.id}`;
  /** Notes all again when this process has become another member, or Redis has lost it. */
  const noteAll = async () => {
    const name = currentName();
    const { id } = membership;
    try {
      if (!(await commands.hold(id, held))) return;
      await commands.release(id, released);
      notedAs = name;
    } catch (error) {
      onProblem(error);
    } finally {
      noting = undefined;
    }
  };
  const review = () => {
    const { state } = replica;
    if (closed) return;
    if (state.members.has(membership.id)) {
      for (const member of members.keys()) if (!state.members.has(member)) void adopt(member);
      members = state.members;
    }
    if (notedAs === "") notedAs = currentName();
    else if (notedAs !== currentName() && state.members.has(membership.id)) noting ??= noteAll();
  };
  membership.watch(review);
  const forget = async (ids: readonly string[]) => {
    const { id: member } = membership;
    await commands.release(member, ids);
    // Under another name it may have been noted anew.
    if (member === membership.id && notedAs === currentName())
      for (const id of ids) released.delete(id);
  };

  return {
    async hold({ id, payload }) {
      held.set(id, payload);
      try {
        // As long as it takes to be a member, and anew when it has become another one meanwhile.
        while (held.has(id)) {
          const member = membership.id;
          const isNoted = await commands.hold(member, [[id, payload]]);
          if (!isNoted) await membership.ready();
          else if (member === membership.id) return;
        }
      } catch (error) {
        held.delete(id);
        released.add(id);
        throw error;
      }
    },
    async release(id) {
      held.delete(id);
      orphans.delete(id);
      released.add(id);
      await forget([id]);
    },
    onOrphan(hear) {
      const entry = { hear };
      listeners.add(entry);
      for (const lease of Array.from(orphans.values())) if (listeners.has(entry)) hear(lease);
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
