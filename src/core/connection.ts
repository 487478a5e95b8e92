import type { GroupKey } from "./names.ts";

/** An open connection of a client. */
export interface Connected {
  /** Id of the connection, made by the service. */
  readonly connectionId: string;
  /**
   * Whether its session goes on at another process: a write that has not been handed to the store
   * must not take effect any more. Absent: no.
   */
  readonly isReplaced?: boolean;
  /**
   * Runs a write that binds an item of a group to the connection: the item goes when the connection
   * is over. The write is called before this returns. Absent: nothing can be bound to it.
   *
   * @throws StreamError as a rejection: that of the write, REQUEST_INVALID when the connection is
   *   over, OUTCOME_UNKNOWN when the item may be bound, but its end is not certain.
   */
  bind?<R>(group: GroupKey, write: () => Promise<R>): Promise<R>;
  /** Whether it is over at this process: nothing can be bound to it. Absent: unknown. */
  readonly isOver?: boolean;
  /** Whether other processes may have bound items to it. Absent: unknown. */
  readonly isBoundElsewhere?: boolean;
}

/** The holder of a connection, such as a socket. */
export interface ConnectionHolder {
  /** Called once something is bound to the connection, or may be: its loss matters from now on. */
  onBound(): void;
  /**
   * Called when this process is out of touch with its fleet, which may end the connection without
   * it: the client has to find out whether its session continues.
   */
  onLapse(): void;
}

/** The connection of a session. It continues while its client may come back. */
export interface SessionConnection extends Required<Connected> {
  isReplaced: boolean;
  /**
   * Whether its session is held here, so that its writes may start. @see Sessions.isHeld
   *
   * @throws StreamError STORE_UNAVAILABLE, as a rejection, when that cannot be found out.
   */
  isHeld(): boolean | Promise<boolean>;
  /** Runs a write that binds nothing, for which `settled` waits too. */
  track<R>(write: () => Promise<R>): Promise<R>;
  /** Gives it another holder. */
  holdBy(holder: ConnectionHolder): void;
  /** Resolves when no write that binds an item, or is tracked, is under way. */
  settled(): Promise<void>;
  /**
   * Ends it with its session: nothing can be bound to it here from now on, and what is bound to it
   * is deleted in the background. Idempotent.
   *
   * @param isOurs Whether the session ended here; otherwise another process has it, or had it.
   */
  end(isOurs: boolean): void;
}
