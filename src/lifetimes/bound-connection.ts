import type { ConnectionHolder, SessionConnection } from "../core/connection.ts";
import type { SessionRecord, Sessions } from "../core/coordinator.ts";
import { StreamError } from "../core/errors.ts";
import { type GroupKey, groupKeyText } from "../core/names.ts";

/** Dependencies of connections that items can be bound to. */
export interface BoundConnectionOptions {
  readonly agreed: Pick<Sessions, "bind" | "connected" | "isHeld">;
  /** Deletes what is bound to a connection. @see endBoundItems */
  readonly endItems: (connection: string, within: readonly GroupKey[] | undefined) => Promise<void>;
  /**
   * Runs work in the background, once `after` has resolved, and again when it fails, until it
   * succeeds or the process ends.
   */
  readonly insist: (after: Promise<void>, work: () => Promise<void>) => void;
  /** The connections that something is bound to: it adds and removes itself. */
  readonly bound: Set<BoundConnection>;
}

/** Most groups that a connection remembers. Beyond that, its items are searched in all groups. */
const MAX_GROUPS = 64;

/**
 * The connection of one session at this process.
 *
 * Nothing that is bound to it outlives it: its end waits for the writes under way, and only then
 * deletes. In a fleet, the process that ends the session deletes. A process whose session continued
 * elsewhere checks whether it is over by now, since its own last writes may have been too late for
 * that delete. What a killed process leaves behind is deleted by the sweep.
 */
export class BoundConnection implements SessionConnection {
  readonly connectionId: string;
  /** @see Connected */
  readonly isBoundElsewhere: boolean;
  isReplaced = false;
  readonly #sessionId: string;
  readonly #options: BoundConnectionOptions;
  /** Groups of all bound items; undefined: there are none, or they may be in any group. */
  #groups: Map<string, GroupKey> | undefined;
  /** Whether the fleet has recorded that items may be bound, and the session continues. */
  #recorded: Promise<boolean> | undefined;
  #isBound: boolean;
  #holder: ConnectionHolder | undefined;
  #writes = 0;
  #onSettled: (() => void)[] | undefined;
  #isOver = false;

  constructor(session: SessionRecord, options: BoundConnectionOptions) {
    const { id, connectionId, isBound = false } = session;
    this.#sessionId = id;
    this.connectionId = connectionId;
    this.#isBound = this.isBoundElsewhere = isBound;
    this.#options = options;
    if (isBound) options.bound.add(this);
  }

  /** @see Connected */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** @see SessionConnection */
  holdBy(holder: ConnectionHolder): void {
    this.#holder = holder;
    if (this.#isBound) holder.onBound();
  }

  /** This process has lost touch with its fleet. */
  lapse(): void {
    this.#holder?.onLapse();
  }

  /** @see Connected */
  async bind<R>(group: GroupKey, write: () => Promise<R>): Promise<R> {
    if (this.#isOver) throw over();
    this.#note(group);
    return this.track(async () => {
      const recording = this.#record();
      // Both at once, because calls of one group take effect in their order.
      const [written, recorded] = await Promise.allSettled([write(), recording]);
      if (written.status === "rejected") throw written.reason;
      if (recorded.status === "rejected") throw unrecorded(recorded.reason);
      if (!recorded.value) {
        this.#isOver = true;
        this.#delete([group]);
        throw over();
      }
      return written.value;
    });
  }

  /** @see SessionConnection */
  isHeld(): boolean | Promise<boolean> {
    return this.#options.agreed.isHeld(this.#sessionId);
  }

  /** @see SessionConnection */
  async track<R>(write: () => Promise<R>): Promise<R> {
    this.#writes++;
    try {
      return await write();
    } finally {
      if (--this.#writes === 0) this.#settle();
    }
  }

  /** @see SessionConnection */
  settled(): Promise<void> {
    if (this.#writes === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onSettled ??= []).push(resolve));
  }

  /** @see SessionConnection */
  end(isOurs: boolean): void {
    this.#isOver = true;
    if (!this.#isBound) return;
    this.#isBound = false;
    this.#options.bound.delete(this);
    const within = this.#groups && Array.from(this.#groups.values());
    if (isOurs) return this.#delete(within);
    // Nothing was bound here.
    if (this.#recorded === undefined) return;
    const { agreed, insist } = this.#options;
    insist(this.settled(), async () => {
      const known = await agreed.connected([this.connectionId]);
      if (!known.has(this.connectionId)) this.#delete(within);
    });
  }

  #note(group: GroupKey): void {
    // What other processes have bound may be in any group.
    if (!this.#isBound) this.#groups = new Map();
    this.#groups?.set(groupKeyText(group), group);
    if (this.#groups !== undefined && this.#groups.size > MAX_GROUPS) this.#groups = undefined;
    if (this.#isBound) return;
    this.#isBound = true;
    this.#options.bound.add(this);
    this.#holder?.onBound();
  }

  #record(): Promise<boolean> {
    const session = { id: this.#sessionId, connectionId: this.connectionId };
    return (this.#recorded ??= this.#options.agreed.bind(session).catch((error: unknown) => {
      this.#recorded = undefined;
      throw error;
    }));
  }

  #delete(within: readonly GroupKey[] | undefined): void {
    const { endItems, insist } = this.#options;
    insist(this.settled(), async () => endItems(this.connectionId, within));
  }

  #settle(): void {
    const waiting = this.#onSettled;
    this.#onSettled = undefined;
    for (const resolve of waiting ?? []) resolve();
  }
}

function over(): StreamError {
  return new StreamError(
    "REQUEST_INVALID",
    "while_connected is true, but the connection of the caller is over; it may be true while that is open.",
    { metadata: { field: "while_connected" } },
  );
}

function unrecorded(cause: unknown): StreamError {
  return new StreamError(
    "OUTCOME_UNKNOWN",
    "The item may have been written, and may outlive the connection; the call may be made again.",
    { cause },
  );
}
