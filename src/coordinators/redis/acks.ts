import { unavailable } from "../../redis/redis-failure.ts";
import type { Ack, FleetCommands, LogPosition } from "./fleet-commands.ts";
import type { Membership } from "./membership.ts";
import type { Replica } from "./replica.ts";
import { startTimer } from "../../timers/timers.ts";

/** Dependencies of the acks. */
export interface AcksOptions {
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly membership: Membership;
}

/** How far each member has replayed the log. */
export interface Acks {
  /** Records the ack of a member. */
  note(member: string, ack: Ack): void;
  /** Records the acks that Redis has of all members, and resends this member's if it is missing. */
  noteAll(acks: ReadonlyMap<string, Ack>): void;
  /**
   * Resolves with true when every other member has reached this member's present position or is
   * gone; with false when the log was lost meanwhile.
   *
   * @throws StreamError STORE_UNAVAILABLE after `timeoutMs`.
   */
  everywhere(timeoutMs: number): Promise<boolean>;
  /** Closes it. Pending waits reject. */
  close(): void;
}

interface Waiter {
  readonly position: LogPosition;
  readonly settle: (outcome: boolean | "ended") => void;
}

/** Publishes this member's ack, and tracks those of the others. */
export function createAcks({ commands, replica, membership }: AcksOptions): Acks {
  const known = new Map<string, Ack>();
  const waiters = new Set<Waiter>();
  let sent: { readonly member: string; readonly position: LogPosition } | undefined;
  let sending = false;
  let closed = false;

  const hasReached = (member: string, since: number, { lineage, version }: LogPosition) => {
    const ack = known.get(member);
    return since >= version || (ack?.lineage === lineage && ack.version >= version);
  };
  const isEverywhere = (position: LogPosition) => {
    for (const [id, { since }] of replica.state.members)
      if (id !== membership.id && !hasReached(id, since, position)) return false;
    return true;
  };
  const review = () => {
    const { lineage } = replica.position;
    for (const { position, settle } of Array.from(waiters)) {
      if (position.lineage !== lineage) settle(false);
      else if (isEverywhere(position)) settle(true);
    }
  };
  const isSent = () =>
    sent?.member === membership.id &&
    sent.position.lineage === replica.position.lineage &&
    sent.position.version === replica.position.version;
  const send = async () => {
    if (sending) return;
    sending = true;
    try {
      // A sole member needs no acks; a member that joins later starts from the present state.
      while (!closed && !isSent() && replica.state.members.size > 1) {
        const { id: member } = membership;
        const { position } = replica;
        if (!replica.state.members.has(member)) break;
        await commands.ack(member, position);
        sent = { member, position };
      }
    } catch {
      // The next heartbeat shows that the ack is missing.
    } finally {
      sending = false;
    }
  };
  membership.watch(() => {
    for (const member of known.keys()) if (!replica.state.members.has(member)) known.delete(member);
    void send();
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
      if (own === undefined || !isSent() || own.version < (sent?.position.version ?? 0))
        sent = undefined;
      void send();
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
