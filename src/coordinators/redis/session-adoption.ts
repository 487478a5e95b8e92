import type { HeldSessions, Sight } from "./held-sessions.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import type { SessionCommands, StoredSession } from "./session-commands.ts";

/** Dependencies of the adoption. */
export interface SessionAdoptionOptions {
  readonly commands: SessionCommands;
  readonly replica: Pick<Replica, "state">;
  readonly membership: Pick<Membership, "id">;
  readonly held: HeldSessions;
  /** A sight by a command that is about to be sent. */
  readonly sightNow: () => Sight;
  /** Whether this process adopts sessions. */
  readonly isOpen: () => boolean;
  readonly onAdopted: (session: StoredSession) => void;
  readonly onProblem: (error: unknown) => void;
}

/** Makes the sessions of members that are gone this process's. */
export interface SessionAdoption {
  /** Looks for members that are gone. */
  review(): void;
  /** A session may have become this process's although the reply was lost. */
  doubt(): void;
}

/** Creates the adoption. */
export function createSessionAdoption(options: SessionAdoptionOptions): SessionAdoption {
  const { commands, replica, membership, held, sightNow } = options;
  const { isOpen, onAdopted, onProblem } = options;
  const adopting = new Set<string>();
  let isInDoubt = false;

  const adoptHere = (adopted: readonly StoredSession[], sight: Sight) => {
    for (const stored of adopted) {
      // A client has taken it up at this process meanwhile.
      if ((held.get(stored.id)?.changes ?? 0) >= stored.changes) continue;
      held.add(stored, true, sight);
      onAdopted(stored);
    }
  };
  const adopt = async (gone: string) => {
    if (adopting.has(gone) || !isOpen()) return;
    adopting.add(gone);
    try {
      for (;;) {
        const sight = sightNow();
        const adopted = await commands.adopt(gone, membership.id);
        if (adopted === undefined || !isOpen()) return;
        adoptHere(adopted, sight);
      }
    } catch (error) {
      // The next heartbeat tries again, unless the adoption succeeded.
      isInDoubt = true;
      onProblem(error);
    } finally {
      adopting.delete(gone);
    }
  };
  const resolveDoubt = async () => {
    isInDoubt = false;
    try {
      const { id: member } = membership;
      for (const id of await commands.heldBy(member)) {
        if (held.get(id) !== undefined) continue;
        const sight = sightNow();
        const stored = await commands.find(id);
        if (stored?.holder === member) adoptHere([stored], sight);
      }
    } catch (error) {
      isInDoubt = true;
      onProblem(error);
    }
  };
  const adoptAll = async () => {
    try {
      const { members } = replica.state;
      for (const member of await commands.holders())
        if (!members.has(member) && member !== membership.id) void adopt(member);
    } catch (error) {
      // The next heartbeat tries again.
      onProblem(error);
    }
  };

  return {
    review() {
      void adoptAll();
      if (isInDoubt) void resolveDoubt();
    },
    doubt: () => void (isInDoubt = true),
  };
}
