import { unavailable } from "../../redis/redis-failure.ts";
import type { Ack, FleetCommands, Position } from "./fleet-commands.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import { startTimer } from "../../timers/timers.ts";

/** What acks work with. */
export interface AcksOptions {
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly membership: Membership;
}

/** Who has come how far in the log. */
export interface Acks {
  /** Hears how far a member has come. */
  note(member: string, ack: Ack): void;
  /** Hears what Redis has noted of all members: what is missing of this one is told again. */
  noteAll(acks: ReadonlyMap<string, Ack>): void;
  /**
   * Resolves with true when every other member has come as far as this one has now, or is gone; with
   * false when the log was lost meanwhile.
   *
   * @throws StreamError STORE_UNAVAILABLE when that takes too long.
   */
  everywhere(timeoutMs: number): Promise<boolean>;
  /** Ends. Who waits is rejected. */
  close(): void;
}

interface Waiter {
  readonly position: Position;
  readonly settle: (outcome: boolean | "ended") => void;
}

/** Tells how far this process has come, and hears it of the others. */
export function createAcks({ commands, replica, membership }: AcksOptions): Acks {
  const known = new Map<string, Ack>();
  const waiters = new Set<Waiter>();
  let told: { readonly member: string; readonly position: Position } | undefined;
  let telling = false;
  let closed = false;

  const hasCome = (member: string, since: number, { lineage, version }: Position) => {
    const ack = known.get(member);
    return since >= version || (ack?.lineage === lineage && ack.version >= version);
  };
  const isEverywhere = (position: Position) => {
    for (const [id, { since }] of replica.state.members)
      if (id !== membership.id && !hasCome(id, since, position)) return false;
    return true;
  };
  const review = () => {
    const { lineage } = replica.position;
    for (const { position, settle } of Array.from(waiters)) {
      if (position.lineage !== lineage) settle(false);
      else if (isEverywhere(position)) settle(true);
    }
  };
  const isTold = () =>
    told?.member === membership.id &&
    told.position.lineage === replica.position.lineage &&
    told.position.version === replica.position.version;
  const tell = async () => {
    if (telling) return;
    telling = true;
    try {
      // Who is alone has nobody to tell; one who joins later knows all that was before.
      while (!closed && !isTold() && replica.state.members.size > 1) {
        const { id: member } = membership;
        const { position } = replica;
        if (!replica.state.members.has(member)) break;
        await commands.ack(member, position);
        told = { member, position };
      }
    } catch {
      // The next heartbeat shows that it is missing.
    } finally {
      telling = false;
    }
  };
  membership.watch(() => {
    for (const member of known.keys()) if (!replica.state.members.has(member)) known.delete(member);
    void tell();
    review();
  });

  return {
    note(member, ack) {
      const before = known.get(member);
      if (before?.lineage === ack.lineage && before.version >= ack.version) return;
      known.set(member, ack);
      review();
    },
    noteAll(acks) {
      for (const [member, ack] of acks) this.note(member, ack);
      const own = acks.get(membership.id);
      if (own === undefined || !isTold() || own.version < (told?.position.version ?? 0))
        told = undefined;
      void tell();
    },
    everywhere(timeoutMs) {
      const { position } = replica;
      if (closed) return Promise.reject(unavailable(undefined));
      if (isEverywhere(position)) return Promise.resolve(true);
      return new Promise((resolve, reject) => {
        const timer = startTimer(timeoutMs, () => settle("ended")).unref();
        const settle = (outcome: boolean | "ended") => {
          timer.cancel();
          waiters.delete(waiter);
          if (outcome === "ended") reject(unavailable(undefined));
          else resolve(outcome);
        };
        const waiter: Waiter = { position, settle };
        waiters.add(waiter);
      });
    },
    close() {
      closed = true;
      for (const { settle } of Array.from(waiters)) settle("ended");
    },
  };
}
