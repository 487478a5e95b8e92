import type { SessionJoin, SessionTarget, SuspendedSubscription } from "../service/handlers.ts";

/** A suspended subscription. */
export interface Suspended {
  readonly subscription: SuspendedSubscription;
  /**
   * When it ends unless it is joined again, by the monotonic clock; Infinity: with its session.
   */
  readonly untilMs: number;
}

/** The joins of one subscription whose gates are being asked. */
interface Asking {
  /** Numbers of the joins, in their order. */
  readonly numbers: Set<number>;
  /** The latest join that was allowed. */
  allowed: number;
  /** What the next join that is allowed continues. */
  suspended: Suspended | undefined;
}

/**
 * The joins of a session whose gates are being asked, over all its sockets. One that was made on a
 * socket that is gone is not over: its gates may still allow it.
 */
export class SessionJoins {
  readonly #asking = new Map<string, Asking>();
  #count = 0;

  /**
   * Begins a join.
   *
   * @param claim Takes what is suspended under its key, unless a join has it already.
   * @param restore Receives it back when no join continues it.
   */
  begin(
    key: string,
    claim: () => Suspended | undefined,
    restore: (suspended: Suspended) => void,
  ): SessionJoin {
    const number = ++this.#count;
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = { numbers: new Set(), allowed: 0, suspended: claim() };
      this.#asking.set(key, asking);
    }
    asking.numbers.add(number);
    const joins = asking;
    const end = () => {
      joins.numbers.delete(number);
      if (joins.numbers.size > 0) return;
      this.#asking.delete(key);
      const { suspended } = joins;
      joins.suspended = undefined;
      if (suspended !== undefined) restore(suspended);
    };
    return {
      allow() {
        const { suspended } = joins;
        const isSuperseded = number < joins.allowed;
        if (!isSuperseded) {
          joins.allowed = number;
          joins.suspended = undefined;
        }
        end();
        return isSuperseded ? "superseded" : suspended?.subscription;
      },
      fail: end,
    };
  }

  /** Keeps a subscription for a join of its key that is under way. @returns false: there is none. */
  keep(key: string, suspended: Suspended): boolean {
    const asking = this.#asking.get(key);
    if (asking === undefined) return false;
    // One that was kept before was replaced.
    asking.suspended?.subscription.leave();
    asking.suspended = suspended;
    return true;
  }
}

/** What identifies a subscription within its session. */
export function sessionKeyOf({
  subscriptionId,
  streamName,
  groupId,
  itemId,
}: SessionTarget): string {
  return JSON.stringify([subscriptionId, streamName, groupId, itemId]);
}
